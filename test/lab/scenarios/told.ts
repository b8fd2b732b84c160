import { nowMs } from '../clock.js';
import type { Daemon, TimelineLine } from '../daemon.js';
import type { Lab } from '../lab.js';
import { type Check, check } from '../scenario.js';
import { observeFor, waitUntil } from '../wait.js';

/** Waits until the log holds the beginning or the end of an episode, whichever node tells it. */
export function episode(
  reader: Daemon,
  since: Date,
  what: 'begins' | 'ends',
  kind: 'advert_path_lost',
): Promise<Check> {
  const type = what === 'begins' ? 'episodeBegan' : 'episodeEnded';
  const name = `${kind} ${what === 'begins' ? 'is raised' : 'ends'}`;
  return told(reader, since, name, (line) => line.type === type && line.text.includes(kind));
}

/** Waits until the log holds that a node gave up its mastership: what it did while nobody heard it is history then. */
export function leftMastership(reader: Daemon, node: Daemon, since: Date): Promise<Check> {
  const { name } = node.router;
  return told(reader, since, `the log tells that ${name} was a master too`, (line) => {
    return line.node === name && line.type === 'transition' && / master → /.test(line.text);
  });
}

/** Longer than any scenario keeps two masters. */
const watchMs = 60_000;
const splitBrainCounter = 'koi_split_brain_detected_total';

/** Looks, from now on, for whatever the nodes say of two masters: in the log, in their metrics and in `koi status`. */
export class SplitBrainWatch {
  readonly #lab: Lab;
  readonly #since: Date;
  readonly #countedBefore: number;
  readonly #shownBy = new Set<string>();
  #untilMs = nowMs() + watchMs;
  readonly #looking: Promise<void>;

  private constructor(lab: Lab, countedBefore: number) {
    this.#lab = lab;
    this.#since = new Date();
    this.#countedBefore = countedBefore;
    this.#looking = this.#look();
  }

  /** Waits until the one of the last run is over: it would be the same one. */
  static async begin(lab: Lab): Promise<SplitBrainWatch> {
    await waitUntil(
      'no node to show two masters',
      async () => ((await Promise.all(lab.daemons.map(shows))).includes(true) ? 'one does' : undefined),
      { deadlineMs: 30_000, everyMs: 200 },
    );
    return new SplitBrainWatch(lab, await sumOf(lab, splitBrainCounter));
  }

  /** What was said: broken where the log has no such episode of the VIP's virtual router, or no node has counted one. */
  async end(reader: Daemon): Promise<Check[]> {
    const inLog = await told(reader, this.#since, 'the log tells of two masters (split_brain)', (line) => {
      return line.type === 'episodeBegan' && line.text.includes('split_brain');
    });
    this.#untilMs = nowMs();
    await this.#looking;
    const counted = (await sumOf(this.#lab, splitBrainCounter)) - this.#countedBefore;
    const shown = [...this.#shownBy].sort().join(' and ') || 'none, for it was over at once';
    const detail = `${splitBrainCounter} grew by ${counted}; koi status showed it on ${shown}`;
    return [inLog, check('a node counts it', counted > 0, detail)];
  }

  /** An episode that is over stands in `koi status` no more. */
  async #look(): Promise<void> {
    while (nowMs() < this.#untilMs) {
      for (const daemon of this.#lab.daemons) if (await shows(daemon)) this.#shownBy.add(daemon.router.name);
      await observeFor(100);
    }
  }
}

const shows = async (daemon: Daemon): Promise<boolean> =>
  (await daemon.view())?.episodes.includes('split_brain') === true;

/** A metric, over all nodes and labels. */
export async function sumOf(lab: Lab, metric: string): Promise<number> {
  const values = await Promise.all(lab.daemons.map((daemon) => daemon.metric(metric)));
  return values.reduce((sum, value) => sum + value, 0);
}

async function told(reader: Daemon, since: Date, name: string, isIt: (line: TimelineLine) => boolean): Promise<Check> {
  let said = '';
  try {
    await waitUntil(
      name,
      async () => {
        const lines = await reader.timeline(since).catch((error: unknown) => String(error));
        if (lines === undefined || typeof lines === 'string') return lines ?? 'it keeps no timeline';
        const line = lines.find(isIt);
        said = line?.text ?? '';
        return line === undefined
          ? `the log has ${lines.map(({ node, type: has }) => `${node}:${has}`).join(', ') || 'nothing'}`
          : undefined;
      },
      { deadlineMs: 5_000, everyMs: 100 },
    );
    return check(name, true, said);
  } catch (error) {
    return check(name, false, String(error));
  }
}
