import { type LogTimers, realTimers } from './timers.js';

/** Who leads a stream, and who could. */
export interface StreamLeadership {
  readonly stream: string;
  /** Name of the leading server; undefined while there is none. */
  readonly leader: string | undefined;
  /** The others that keep the stream. */
  readonly followers: readonly {
    readonly name: string;
    /** It has everything that the leader has confirmed. */
    readonly current: boolean;
    readonly offline: boolean;
  }[];
}

/**
 * The server that should lead in place of `self`, which may die with the virtual IP; undefined where nothing is to be
 * gained. The log must outlive `self`: the others alone must be a majority of those that keep the stream.
 *
 * @param busy servers of nodes that own a virtual router: they come no more into question than `self`
 * @param nodes servers of nodes at all: one that is none, a witness, is the best of all, since no virtual IP ever moves there
 */
export function chooseLeader(
  { leader, followers }: StreamLeadership,
  self: string,
  busy: ReadonlySet<string>,
  nodes: ReadonlySet<string>,
): string | undefined {
  if (leader !== self) return undefined;
  const able = followers.filter(({ current, offline }) => current && !offline).map(({ name }) => name);
  const majority = Math.floor((followers.length + 1) / 2) + 1;
  if (able.length < majority) return undefined;
  const free = able.filter((name) => !busy.has(name)).sort();
  return free.find((name) => !nodes.has(name)) ?? free[0];
}

/** A stream whose leader can be asked for and moved. */
export interface SteeredStream {
  readonly name: string;
  /** Rejects where the log does not answer. */
  leadership(): Promise<StreamLeadership>;
  /** Asks the leader to hand over to `server`; rejects where it does not. */
  stepDown(server: string): Promise<void>;
}

export interface LeaderSteeringOptions {
  readonly streams: readonly SteeredStream[];
  /** The name of this node's own server. */
  readonly self: string;
  /** Undefined while this is no time for it: this node owns nothing, the log is away, or a virtual router is on the move. */
  readonly place: () => { readonly busy: ReadonlySet<string>; readonly nodes: ReadonlySet<string> } | undefined;
  readonly onMoved: (stream: string, to: string) => void;
  readonly onTrouble: (stream: string, error: Error) => void;
  readonly timers?: LogTimers;
}

const lookEveryMs = 5_000;
/** A stream is moved at most so often: each time it takes nothing for a moment. */
const moveEveryMs = 60_000;

/**
 * Keeps the streams' leader off the node that owns a virtual IP: were both to die at once, the log would be silent for the
 * 4 to 9 s of an election inside NATS exactly when it is needed.
 */
export class LeaderSteering {
  readonly #options: LeaderSteeringOptions;
  readonly #timers: LogTimers;
  readonly #movedMs = new Map<string, number>();
  #callOff: () => void = () => undefined;
  #stopped = false;

  constructor(options: LeaderSteeringOptions) {
    this.#options = options;
    this.#timers = options.timers ?? realTimers;
    this.#later();
  }

  stop(): void {
    this.#stopped = true;
    this.#callOff();
  }

  #later(): void {
    if (this.#stopped) return;
    this.#callOff = this.#timers.after(lookEveryMs, () => void this.#look().finally(() => this.#later()));
  }

  /** Moves one stream at most, so that claims and leases are not held up in the same moment. */
  async #look(): Promise<void> {
    const { streams, self, onMoved, onTrouble } = this.#options;
    for (const stream of streams) {
      const nowMs = this.#timers.nowMs();
      if (nowMs - (this.#movedMs.get(stream.name) ?? Number.NEGATIVE_INFINITY) < moveEveryMs) continue;
      if (this.#options.place() === undefined) return;
      try {
        const leadership = await stream.leadership();
        // The answer took its time: whether this is still a moment for it is asked once more.
        const place = this.#options.place();
        if (place === undefined || this.#stopped) return;
        const target = chooseLeader(leadership, self, place.busy, place.nodes);
        if (target === undefined) continue;
        this.#movedMs.set(stream.name, nowMs);
        await stream.stepDown(target);
        onMoved(stream.name, target);
        return;
      } catch (error) {
        onTrouble(stream.name, error instanceof Error ? error : new Error(String(error)));
        return;
      }
    }
  }
}
