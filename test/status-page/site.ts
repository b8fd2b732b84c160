import { type Listening, serveHttp } from '../../src/observe/http.js';
import type { HttpSources } from '../../src/observe/http-sources.js';
import type { Status, StatusEpisode, StatusVr, StatusVrNode, TimelineEntry } from '../../src/observe/status.js';

const held = { state: 'held', remainingMs: 3400 } as const;

/** A daemon's HTTP server whose cluster is as the test says. */
export class Site {
  status: Status = healthy();
  readonly entries: TimelineEntry[] = [];
  readonly asked: string[] = [];
  #waiting: (() => void)[] = [];
  #listening: Listening | undefined;
  #sequence = 0;
  #port = 0;

  async open(): Promise<void> {
    this.#listening = await serveHttp({ listen: { host: '127.0.0.1', port: this.#port }, sources: this.#sources() });
    this.#port = Number(this.#listening.address.split(':').at(-1));
  }

  get url(): string {
    return `http://127.0.0.1:${this.#port}/`;
  }

  /** The daemon is gone; `open` brings it back at the same address. */
  async close(): Promise<void> {
    const listening = this.#listening;
    this.#listening = undefined;
    this.#wake();
    await listening?.close();
  }

  write(type: string, text: string, cause: string | null = null, at = new Date()): void {
    const vr = text.startsWith('gw ') ? 'gw' : null;
    this.entries.push({ sequence: ++this.#sequence, at: at.toISOString(), node: 'r1', vr, term: 7, type, text, cause });
    this.#wake();
  }

  /** r1 loses its carrier, and r2 takes over: what the log has of it, and how the cluster stands afterwards. */
  failOver(): void {
    this.write('transition', 'gw r1 master → fault term 7: carrier_lost');
    this.write('transition', 'gw r2 backup → candidate term 8: master_silent');
    this.write(
      'claimed',
      'gw r2 claimed term 8: master_silent (priority 150, 10.77.0.2) ← r1 released',
      'gw r1 released term 7: carrier_lost (addresses read back gone)',
    );
    this.write('transition', 'gw r2 candidate → master term 8: attached');
    this.write('masterActive', 'gw r2 active term 8: detect 21.4 ms, arbitrate 3.2 ms, attach 4.7 ms, announce 2.2 ms');
    const now = new Date().toISOString();
    const nodes: StatusVrNode[] = [
      {
        ...here,
        state: 'fault',
        reason: 'carrier_lost',
        since: now,
        why: 'not master: its interface has no carrier',
        priority: 0,
      },
      {
        ...there,
        state: 'master',
        reason: 'attached',
        since: now,
        why: 'master: it holds term 8, and the log has its claim',
      },
    ];
    const [gw] = this.status.vrs;
    if (gw === undefined) throw new Error('there is no virtual router');
    this.status = {
      ...this.status,
      vrs: [
        {
          ...gw,
          state: 'fault',
          owner: 'r2',
          term: 8,
          since: now,
          nodes,
          vips: gw.vips.map((vip) => ({ ...vip, present: false })),
        },
      ],
    };
  }

  #wake(): void {
    for (const wake of this.#waiting.splice(0)) wake();
  }

  #sources(): HttpSources {
    const site = this;
    return {
      metricsText: () => '',
      health: () => ({ ok: true, checks: [] }),
      ready: () => ({ ok: true, checks: [] }),
      status: () => ({ ...site.status, at: new Date().toISOString() }),
      timeline: async () => ({ entries: site.entries }),
      async *followTimeline(_query, signal) {
        let next = 0;
        const isOver = (): boolean => signal.aborted || site.#listening === undefined;
        signal.addEventListener('abort', () => site.#wake());
        for (;;) {
          for (const entry of site.entries.slice(next)) yield entry;
          next = site.entries.length;
          if (isOver()) return;
          await new Promise<void>((resolve) => site.#waiting.push(resolve));
          if (isOver()) return;
        }
      },
    };
  }
}

const longAgo = new Date(Date.now() - 3 * 3_600_000).toISOString();
const here: StatusVrNode = {
  node: 'r1',
  state: 'master',
  reason: 'attached',
  why: 'master: it holds term 7, and the log has its claim',
  since: longAgo,
  priority: 200,
  drained: false,
  dataplaneUp: true,
  lease: held,
};
const there: StatusVrNode = {
  ...here,
  node: 'r2',
  state: 'backup',
  reason: 'master_heard',
  why: 'not master: r1 is, with term 7, with priority 200 against 150; here it hears the master',
  priority: 150,
};

const gateway: StatusVr = {
  name: 'gw',
  id: 51,
  protocol: 'vrrp3',
  interface: 'eth1',
  virtualMac: '00:00:5e:00:01:33',
  state: 'master',
  reason: 'attached',
  why: here.why,
  term: 7,
  standing: 'logged',
  priority: 200,
  preempt: true,
  owner: 'r1',
  since: longAgo,
  vips: [
    { address: '10.77.0.254', present: true },
    { address: '2001:db8::254', present: true },
  ],
  checksums: [],
  nodes: [here, there],
  lastTransition: { from: 'candidate', to: 'master', reason: 'attached', at: longAgo },
  tracks: [{ name: 'uplink', level: 'up', weight: -50, detail: 'eth0 has carrier' }],
  warnings: [],
  configuration: null,
};

/** Two nodes, one virtual router, nothing wrong. */
export function healthy(): Status {
  const node = (name: string, lanAddress: string, priority: number, state: string) => ({
    name,
    lastSeen: new Date(Date.now() - 42_000).toISOString(),
    lanAddress,
    drained: null,
    lease: held,
    vrs: [{ name: 'gw', state, priority, configuration: null }],
  });
  return {
    node: 'r1',
    cluster: 'edge',
    version: '0.1.0',
    configFile: '/etc/koi/koi.yaml',
    at: new Date().toISOString(),
    log: { connected: true, server: 'nats-1 2.12.1', outbox: 0, lag: 0 },
    dataplane: { up: true },
    guard: { up: true },
    drained: null,
    vrs: [gateway],
    elsewhere: [],
    nodes: [node('r1', '10.77.0.1', 200, 'master'), node('r2', '10.77.0.2', 150, 'backup')],
    episodes: [],
    warnings: [],
  };
}

/** Two nodes that share three virtual routers, one of which only one of them can serve. */
export function shared(): Status {
  const { nodes, ...rest } = healthy();
  const [r1, r2] = [here, there];
  const lan: StatusVr = {
    ...gateway,
    name: 'lan-v6',
    id: 52,
    virtualMac: '00:00:5e:00:02:34',
    state: 'backup',
    reason: 'master_heard',
    owner: 'r2',
    vips: ['2001:db8:1::254', 'fe80::5eff:fe00:234'].map((address) => ({ address, present: false })),
    nodes: [
      { ...r1, state: 'backup', why: 'not master: r2 is, with term 7; here it hears the master', priority: 100 },
      { ...r2, state: 'master', why: here.why },
    ],
    lastTransition: { from: 'master', to: 'backup', reason: 'higher_priority_heard', at: longAgo },
    tracks: [],
  };
  const storage: StatusVr = {
    ...gateway,
    name: 'storage',
    id: 7,
    protocol: 'carp',
    virtualMac: '00:00:5e:00:01:07',
    standing: 'provisional',
    vips: [{ address: '10.78.0.254', present: true }],
    nodes: [r1, { ...r2, state: 'fault', reason: 'carrier_lost', why: 'not master: its interface has no carrier' }],
    tracks: [],
  };
  const vrs = [gateway, lan, storage];
  const states = (node: string) =>
    vrs.map(({ name, nodes: each }) => {
      const { state = 'backup', priority = 100 } = each.find((one) => one.node === node) ?? {};
      return { name, state, priority, configuration: null };
    });
  return { ...rest, vrs, nodes: nodes.map((node) => ({ ...node, vrs: states(node.name) })) };
}

/** Someone on the LAN answers for the virtual IP with a MAC of its own. */
export const wrongMac: StatusEpisode = {
  kind: 'wrong_mac',
  vr: 'gw',
  node: 'r2',
  subject: '52:54:00:12:34:56',
  since: new Date(Date.now() - 75_000).toISOString(),
  text: 'somebody binds a virtual IP to a MAC that is not its virtual MAC',
  remedy: 'take the address off the host with this MAC, or set arp_ignore=1 and arp_announce=2 there',
  evidence: [
    { key: 'vip', value: '10.77.0.254' },
    { key: 'frame', value: 'ARP reply for 10.77.0.100' },
  ],
};
