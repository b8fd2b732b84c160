import pino from 'pino';
import { beforeEach, describe, expect, it } from 'vitest';
import type { FileTrack, InterfaceTrack, TrackConfig } from '../../config/config.js';
import type { Link } from '../../kernel/link.js';
import type { KernelEvent } from '../../kernel/monitor.js';
import type { RunnerTrack } from './runner-protocol.js';
import { Trackers } from './trackers.js';

const uplink = (over: Partial<InterfaceTrack> = {}): InterfaceTrack => ({
  kind: 'interface',
  name: 'uplink',
  interface: { by: 'name', value: 'eth0' },
  weight: -50,
  reverse: false,
  ...over,
});
const health = (over: Partial<FileTrack> = {}): FileTrack => ({
  kind: 'file',
  name: 'health',
  file: '/f',
  weight: 1,
  reverse: false,
  intervalMs: 1000,
  ...over,
});

const link = (isUp: boolean): Link =>
  ({
    ifindex: 2,
    name: 'eth0',
    altNames: [],
    group: 0,
    carrier: isUp,
    operstate: isUp ? 'up' : 'down',
    flags: { up: true, lowerUp: isUp },
  }) as unknown as Link;

let links: Map<number, Link>;
let listener: (event: KernelEvent) => void;
let watched: (readonly RunnerTrack[])[];
let changes: number;
let trackers: Trackers;

function configure(...tracks: TrackConfig[]): void {
  trackers.configure(tracks);
}

function becomes(isUp: boolean): void {
  links.set(2, link(isUp));
  listener({ type: 'link', link: link(isUp), previous: undefined });
}

const levels = (...names: string[]) => trackers.items(names).map(({ level }) => level);

beforeEach(() => {
  links = new Map();
  watched = [];
  changes = 0;
  trackers = new Trackers({
    monitor: {
      links,
      on: (given) => {
        listener = given;
        return () => undefined;
      },
    },
    watch: (tracks) => watched.push(tracks),
    log: pino({ level: 'silent' }),
    onChange: () => {
      changes += 1;
    },
  });
});

describe('what is tracked', () => {
  it('is an interface, watched here: absent, up, without carrier', () => {
    configure(uplink());
    expect(levels('uplink')).toEqual([{ kind: 'down' }]);
    expect(trackers.describe(['uplink'])).toEqual([
      { name: 'uplink', level: 'down', weight: -50, detail: 'there is no interface eth0' },
    ]);
    becomes(true);
    expect(levels('uplink')).toEqual([{ kind: 'up' }]);
    const told = changes;
    becomes(true);
    expect(changes).toBe(told);
    becomes(false);
    expect(levels('uplink')).toEqual([{ kind: 'down' }]);
    expect(changes).toBe(told + 1);
  });

  it('is everything else by the runner, whose word is taken for what is tracked', () => {
    configure(uplink(), health());
    expect(watched).toEqual([[health()]]);
    expect(levels('health')).toEqual([{ kind: 'init' }]);
    trackers.read('health', { level: 7, detail: 'it says 7' });
    trackers.read('unknown', { level: 'up', detail: '' });
    expect(levels('health', 'unknown')).toEqual([{ kind: 'number', value: 7 }]);
  });

  it('keeps its level through a reload that only weighs it otherwise, and forgets it where it is another', () => {
    configure(health());
    trackers.read('health', { level: 7, detail: '' });
    configure(health({ weight: 5 }));
    expect(trackers.items(['health'])).toEqual([
      { name: 'health', weight: 5, reverse: false, level: { kind: 'number', value: 7 } },
    ]);
    configure(health({ file: '/other' }));
    expect(levels('health')).toEqual([{ kind: 'init' }]);
    configure();
    expect(levels('health')).toEqual([]);
  });
});
