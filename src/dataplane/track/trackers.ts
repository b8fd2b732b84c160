import type { Logger } from 'pino';
import type { InterfaceTrack, TrackConfig } from '../../config/config.js';
import type { TrackedItem, TrackLevel } from '../../core/tracking.js';
import type { Link } from '../../kernel/link.js';
import type { KernelMonitor } from '../../kernel/monitor.js';
import { findLink } from '../find-link.js';
import type { RunnerTrack } from './runner-protocol.js';
import type { Reading } from './watching.js';

/** What a track says now, as others are told. */
export interface TrackReport {
  readonly name: string;
  readonly level: 'init' | 'up' | 'down' | 'number';
  readonly weight: number;
  readonly detail: string;
}

interface Entry {
  track: TrackConfig;
  level: TrackLevel;
  detail: string;
}

export interface TrackersOptions {
  readonly monitor: Pick<KernelMonitor, 'links' | 'on'>;
  /** Watches what needs more than the kernel's notifications; answers through `read`. */
  readonly watch: (tracks: readonly RunnerTrack[]) => void;
  readonly log: Logger;
  /** A level or a weight is another; called once for all that changed together. */
  readonly onChange: () => void;
}

/** Everything that is tracked, and what was last found. Interfaces are watched here, the rest by the runner. */
export class Trackers {
  readonly #options: TrackersOptions;
  #entries = new Map<string, Entry>();
  readonly #stopListening: () => void;

  constructor(options: TrackersOptions) {
    this.#options = options;
    this.#stopListening = options.monitor.on((event) => {
      if ('link' in event || event.type === 'resynced') this.#lookAtInterfaces();
    });
  }

  /** Tracks exactly these from now on; what is watched in the same way as before keeps its level. */
  configure(tracks: readonly TrackConfig[]): void {
    const before = this.#entries;
    this.#entries = new Map(
      tracks.map((track) => {
        const known = before.get(track.name);
        const isSame = known !== undefined && watchText(known.track) === watchText(track);
        return [
          track.name,
          {
            track,
            level: isSame ? known.level : { kind: 'init' },
            detail: isSame ? known.detail : 'not looked at yet',
          },
        ];
      }),
    );
    this.#options.watch(tracks.filter((track): track is RunnerTrack => track.kind !== 'interface'));
    this.#lookAtInterfaces();
    this.#options.onChange();
  }

  /** Takes what the runner read. */
  read(name: string, { level, detail }: Reading): void {
    const entry = this.#entries.get(name);
    if (entry === undefined) return;
    const found: TrackLevel = typeof level === 'number' ? { kind: 'number', value: level } : { kind: level };
    if (this.#set(entry, found, detail)) this.#options.onChange();
  }

  items(names: readonly string[]): TrackedItem[] {
    return this.#named(names).map(({ track, level }) => ({
      name: track.name,
      weight: track.weight,
      reverse: track.reverse,
      level,
    }));
  }

  describe(names: readonly string[]): TrackReport[] {
    return this.#named(names).map(({ track, level, detail }) => ({
      name: track.name,
      level: level.kind,
      weight: track.weight,
      detail,
    }));
  }

  close(): void {
    this.#stopListening();
  }

  #named(names: readonly string[]): Entry[] {
    return names.flatMap((name) => this.#entries.get(name) ?? []);
  }

  #lookAtInterfaces(): void {
    let isChanged = false;
    for (const entry of this.#entries.values()) {
      if (entry.track.kind !== 'interface') continue;
      const { isUp, detail } = this.#lookAt(entry.track);
      if (this.#set(entry, { kind: isUp ? 'up' : 'down' }, detail)) isChanged = true;
    }
    if (isChanged) this.#options.onChange();
  }

  #lookAt(track: InterfaceTrack): { readonly isUp: boolean; readonly detail: string } {
    const link = findLink(this.#options.monitor.links.values(), track.interface);
    if (link === undefined) return { isUp: false, detail: `there is no interface ${track.interface.value}` };
    return { isUp: carries(link), detail: `${link.name} is ${link.flags.up ? link.operstate : 'down'}` };
  }

  #set(entry: Entry, level: TrackLevel, detail: string): boolean {
    const isSame = JSON.stringify(entry.level) === JSON.stringify(level);
    entry.detail = detail;
    if (isSame) return false;
    const { name, weight } = entry.track;
    entry.level = level;
    this.#options.log.info({ track: name, level: level.kind, weight, detail }, `track ${name}: ${detail}`);
    return true;
  }
}

const carries = ({ flags, carrier, operstate }: Link): boolean =>
  flags.up && carrier && flags.lowerUp && (operstate === 'up' || operstate === 'unknown');

/** What a change of makes the last level worthless: a weight does not. */
const watchText = (track: TrackConfig): string => JSON.stringify({ ...track, weight: 0, reverse: false });
