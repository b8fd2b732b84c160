import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'vitest';
import { type FailpointName, failpointNames } from '../../src/failpoint.js';
import type { BuiltKoi } from '../daemon/build.js';
import { type Node, Site } from '../election/site.js';
import { nowMs } from '../lab/clock.js';
import { compile } from '../lab/compile.js';
import { processTable, signal } from '../lab/daemon.js';
import { run } from '../lab/ip.js';
import { type KernelState, kernelDifferences, readKernelState } from '../lab/kernel-state.js';
import { Owners } from '../lab/owners.js';
import { processesIn, vip, virtualMac } from '../lab/topology.js';
import { waitUntil } from '../lab/wait.js';
import { type TrapKind, TrappedKoi } from './trapped-koi.js';

export type Arbitration = 'log' | 'strict';

/** Where `strict` proves by the lease that a holder is gone, `log` asks it; and what is handed over is claimed. */
const onlyIn: Readonly<Record<Arbitration, ReadonlySet<FailpointName>>> = {
  log: new Set(['challenge.answered', 'prepare.named', 'prepare.told']),
  strict: new Set(['challenge.revoked']),
};

/** The failpoints between two nodes. */
export const daemonFailpoints = (arbitration: Arbitration): FailpointName[] =>
  failpointNames.filter((name) => !isOfAttach(name) && !onlyIn[arbitration === 'log' ? 'strict' : 'log'].has(name));

const isOfAttach = (name: FailpointName): boolean => /^(link|attach|detach)\./.test(name);

/** Those of making a link, putting addresses on it and taking them off. */
export const attachFailpoints = failpointNames.filter(isOfAttach);

type Cause = 'start' | 'lostLan' | 'death' | 'spoiltGuards' | 'reload' | 'handover';

/** What makes a node come by, and which of the two. */
function causeOf(name: FailpointName): { readonly cause: Cause; readonly who: 0 | 1 } {
  const [group] = name.split('.');
  if (name === 'release.farewell') return { cause: 'spoiltGuards', who: 0 };
  if (group === 'link') return { cause: 'start', who: 1 };
  if (group === 'challenge') return { cause: 'death', who: 1 };
  if (group === 'change') return { cause: 'reload', who: 0 };
  if (group === 'handover') return { cause: 'handover', who: 0 };
  if (group === 'prepare') return { cause: 'handover', who: 1 };
  return { cause: 'lostLan', who: group === 'release' || group === 'detach' ? 0 : 1 };
}

const settleMs = 20_000;
const vip6 = 'fd77::254';
const virtualMac6 = '00:00:5e:00:02:33';
const oneMore = '10.77.0.253';

export interface CaseResult {
  /** The longest time in which nobody, and in which both, had the address. */
  readonly noneMs: number;
  readonly severalMs: number;
}

/** Two nodes with daemons in which a trap can be set. In each case `r1` is the master at first, and `r2` its backup. */
export class FailpointSite {
  readonly #site: Site;
  readonly #nodes: readonly [Node, Node];
  readonly #koi: readonly [TrappedKoi, TrappedKoi];
  readonly #main: string;
  readonly #owners: Owners;
  readonly #before: readonly KernelState[];
  readonly #configurations: readonly string[];
  readonly #everything: boolean;

  private constructor(
    site: Site,
    nodes: [Node, Node],
    koi: [TrappedKoi, TrappedKoi],
    main: string,
    everything: boolean,
  ) {
    this.#site = site;
    this.#everything = everything;
    this.#configurations = nodes.map(({ configFile }) => readFileSync(configFile, 'utf8'));
    this.#nodes = nodes;
    this.#koi = koi;
    this.#main = main;
    this.#before = nodes.map(({ router }) => readKernelState(router.netns));
    const lab = fileURLToPath(new URL('../lab', import.meta.url));
    this.#owners = new Owners(compile(lab, 'owners', join(site.directory, 'bin')), site.topology, [vip]);
  }

  /** @param everything the virtual router has all that an attach can be asked for: both families, and a route */
  static async begin({ main }: BuiltKoi, arbitration: Arbitration, everything = false): Promise<FailpointSite> {
    const site = await Site.begin();
    try {
      const koi = ['r1', 'r2'].map((name) => new TrappedKoi(main, join(site.directory, `${name}-koi`)));
      const [first, second] = koi;
      if (first === undefined || second === undefined) throw new Error('unreachable');
      const lines = { lease: { ttl: '4s', renew: '500ms' } };
      const more = everything ? { addresses: [`${vip}/24`, `${vip6}/64`], routes: [{ to: '10.99.99.0/24' }] } : {};
      const nodes: [Node, Node] = [
        await site.node(0, first.main, { arbitration, priority: 200, ...more }, lines),
        await site.node(1, second.main, { arbitration, priority: 100, ...more }, lines),
      ];
      const tentative = (): string | undefined =>
        nodes.map(({ router }) => run('ip', ['-n', router.netns, 'addr'])).find((text) => text.includes('tentative'));
      await waitUntil('the hosts to have their addresses', tentative, { deadlineMs: 10_000, everyMs: 50 });
      const whole = new FailpointSite(site, nodes, [first, second], main, everything);
      await whole.#owners.ready();
      return whole;
    } catch (error) {
      await site.close();
      throw error;
    }
  }

  /** Springs one trap, waits until all is well again, and holds everything against what it should be. */
  async run(name: FailpointName, kind: TrapKind): Promise<CaseResult> {
    for (const koi of this.#koi) koi.clear();
    try {
      return await this.#run(name, kind);
    } catch (error) {
      // The next case begins with daemons of its own.
      this.#configure((text) => text);
      for (const node of this.#nodes) {
        signal(processesIn(node.router.netns), 'SIGKILL');
        await node.stop();
        await this.#site.topology.mendLan(node.router);
      }
      throw error;
    }
  }

  async #run(name: FailpointName, kind: TrapKind): Promise<CaseResult> {
    const [r1, r2] = this.#nodes;
    const { cause, who } = causeOf(name);
    const trapped = this.#koi[who];
    r1.start();
    await r1.isMaster('logged');
    if (cause === 'start') trapped.set(name, kind);
    const begunMs = nowMs();
    r2.start();
    if (cause !== 'start') {
      await r2.isBackup();
      await r2.knows(r1);
      trapped.set(name, kind);
    }
    const undo = await this.#bringAbout(cause);
    const notYet = (): string | undefined => {
      if (trapped.hasSprung(name)) return undefined;
      // Refused until the other node is known to be ready.
      return cause === 'handover' ? this.#handover(r1) : 'nobody came by';
    };
    await waitUntil(`${name} to be passed`, notYet, { deadlineMs: settleMs, everyMs: 2 });
    await undo();
    await this.#settled();
    const { noneMs, severalMs } = this.#owners.judge(begunMs, nowMs());

    // All works as before: the next handover comes through, on whichever side this one has ended.
    const [master, other] = r1.hasVip ? [r1, r2] : [r2, r1];
    const moved = (): string | undefined => {
      const said = this.#handover(master, other);
      return / has taken over from | is the master already/.test(said) ? undefined : said;
    };
    await waitUntil(`${other.name} to take over when it is told to`, moved, { deadlineMs: settleMs });
    await this.#settled(other);
    this.#sayNothingWrong();

    for (const node of [r1, r2]) expect(await node.stop()).toBe(0);
    this.#nodes.forEach((node, index) => {
      expect(
        kernelDifferences(this.#before[index] ?? new Map(), readKernelState(node.router.netns)),
        `${name} ${kind}: ${node.name}'s kernel`,
      ).toEqual([]);
    });
    return { noneMs, severalMs };
  }

  /** Has the nodes come by. @returns what makes all as it was, once they have */
  async #bringAbout(cause: Cause): Promise<() => Promise<void>> {
    const [r1, r2] = this.#nodes;
    const { topology } = this.#site;
    switch (cause) {
      case 'start':
      case 'handover':
        return async () => undefined;
      case 'lostLan':
        await topology.cutLan(r1.router);
        return async () => {
          await r2.isMaster('logged');
          await topology.mendLan(r1.router);
        };
      case 'death': {
        // All but the guard, which takes the addresses off; its farewells reach nobody.
        await topology.silenceLan(r1.router);
        const killed = processTable(r1.router.netns).filter(({ command }) => !command.includes('koi-guard'));
        signal(
          killed.map(({ pid }) => pid),
          'SIGKILL',
        );
        return async () => {
          await r2.isMaster('logged');
          await r1.stop();
          await topology.mendLan(r1.router);
          r1.start();
        };
      }
      case 'spoiltGuards':
        this.#setArpIgnore(r1, 3);
        return async () => {
          await r2.isMaster('logged');
          this.#setArpIgnore(r1, 0);
        };
      case 'reload': {
        // A list of addresses comes into force when both nodes have it.
        this.#configure((text) => text.replace(`"${vip}/24"`, `"${vip}/24","${oneMore}/24"`));
        const reloads = this.#reload();
        return async () => {
          await reloads;
          await this.#settled();
          this.#configure((text) => text);
          await this.#reload();
        };
      }
    }
  }

  #configure(change: (text: string) => string): void {
    this.#nodes.forEach(({ configFile }, index) => {
      writeFileSync(configFile, change(this.#configurations[index] ?? ''));
    });
  }

  async #reload(): Promise<void> {
    await Promise.all(
      this.#nodes.map(async (node) => {
        const words = ['netns', 'exec', node.router.netns, ...this.#words(node, 'reload')];
        await once(spawn('ip', words, { stdio: 'ignore' }), 'exit');
      }),
    );
  }

  #setArpIgnore({ router }: Node, value: number): void {
    run('ip', ['netns', 'exec', router.netns, 'sysctl', '-qw', `net.ipv4.conf.all.arp_ignore=${value}`]);
  }

  /** The log, read from its beginning: no term owned twice, nobody announced before an attach. */
  audit(): string {
    return this.#koiCommand(this.#nodes[1], 'audit', ['--bound', '3s']);
  }

  async close(): Promise<void> {
    this.#owners.end();
    await this.#site.close();
  }

  #handover(from: Node, to?: Node): string {
    return this.#koiCommand(from, 'handover', ['gw', ...(to === undefined ? [] : ['--to', to.name])]);
  }

  #koiCommand(node: Node, command: string, more: readonly string[]): string {
    const words = this.#words(node, command, more);
    try {
      return execFileSync('ip', ['netns', 'exec', node.router.netns, ...words], { encoding: 'utf8', stdio: 'pipe' });
    } catch (error) {
      const { stdout, stderr } = error as { stdout?: string; stderr?: string };
      return `failed: ${stdout}${stderr}`;
    }
  }

  #words(node: Node, command: string, more: readonly string[] = []): string[] {
    return [process.execPath, this.#main, command, ...more, '-c', node.configFile];
  }

  /** One node has the address, the log says that it is that one, the other is its backup; in both kernels one link. */
  async #settled(wanted?: Node): Promise<void> {
    const notYet = async (): Promise<string | undefined> => {
      const views = await Promise.all(this.#nodes.map((node) => node.vr().catch((error: Error) => error.message)));
      const said = JSON.stringify(views);
      const kernels = this.#nodes.map(kernelOf);
      const states = views.map((view) => (typeof view === 'object' ? `${view.state} ${view.standing}` : 'silent'));
      const at = states.indexOf('master logged');
      const master = this.#nodes[at];
      if (master === undefined || states[1 - at] !== 'backup null') return said;
      if (wanted !== undefined && master !== wanted) return `${master.name} is the master`;
      const owners = new Set(views.map((view) => (typeof view === 'object' ? `${view.owner} ${view.term}` : '')));
      if (owners.size !== 1 || ![...owners][0]?.startsWith(`${master.name} `)) return said;
      const macs = this.#everything ? [virtualMac, virtualMac6] : [virtualMac];
      const links = (state: string): string => macs.map((mac) => `${mac} ${state}`).join();
      const served = this.#everything ? [vip, vip6].join() : vip;
      const isRight = kernels[at] === `${links('up')}; ${served}` && kernels[1 - at] === `${links('down')}; `;
      return isRight ? undefined : JSON.stringify(kernels);
    };
    await waitUntil('one master, one backup, and kernels to match', notYet, { deadlineMs: settleMs }).catch(
      (error: Error) => {
        throw new Error(`${error.message}\n${this.#nodes.map((node) => node.lastWords(25)).join('\n──\n')}`);
      },
    );
  }

  #sayNothingWrong(): void {
    const macs = this.#nodes.flatMap(({ recorder }) => recorder.bindings(vip).map(({ mac }) => mac));
    expect(new Set(macs)).toEqual(new Set([virtualMac]));
  }
}

interface LinkJson {
  readonly address: string;
  readonly flags: readonly string[];
  readonly linkinfo?: { readonly info_kind?: string };
  readonly addr_info: readonly { readonly local: string }[];
}

/** What of Koi is in a node's kernel: its virtual-MAC links, and the VIPs as often as they stand there, on whatever link. */
function kernelOf({ router }: Node): string {
  const text = execFileSync('ip', ['-n', router.netns, '-j', '-d', 'addr'], { encoding: 'utf8' });
  const all = JSON.parse(text) as LinkJson[];
  const links = all.filter(({ linkinfo }) => linkinfo?.info_kind === 'macvlan');
  const held = all.flatMap((link) => link.addr_info.filter(({ local }) => local === vip || local === vip6));
  const told = links.map(({ address, flags }) => `${address} ${flags.includes('UP') ? 'up' : 'down'}`);
  const addresses = held.map(({ local }) => local).sort();
  return `${told.sort().join()}; ${addresses.join()}`;
}
