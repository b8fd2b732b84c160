import type { Daemon, TimelineLine } from '../daemon.js';
import { type Check, check } from '../scenario.js';
import { waitUntil } from '../wait.js';

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
