import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'vitest';
import { type FailpointName, failpointNames } from '../../src/failpoint.js';
import type { BuiltKoi } from '../daemon/build.js';
import { type Node, Site } from '../election/site.js';
import { nowMs } from '../lab/clock.js';
import { compile } from '../lab/compile.js';
import { signal } from '../lab/daemon.js';
import { run } from '../lab/ip.js';
import { type KernelState, kernelDifferences, readKernelState } from '../lab/kernel-state.js';
import { Owners } from '../lab/owners.js';
import { processesIn, vip, virtualMac } from '../lab/topology.js';
import { waitUntil } from '../lab/wait.js';
import { type TrapKind, TrappedKoi } from './trapped-koi.js';

/** The failpoints of running daemons: those of the attach itself are gone through in carp-crash and carp-attach. */
export const daemonFailpoints = failpointNames.filter((name) => /^(claim|release|handover)\./.test(name));

const settleMs = 20_000;

export interface CaseResult {
  /** The longest time in which nobody, and in which both, had the address. */
  readonly noneMs: number;
  readonly severalMs: number;
}

/**
 * Two nodes with daemons in which a trap can be set. In each case `r1` is the master, and loses its LAN or is told to hand
 * over: it comes by the failpoints of release and handover, `r2` by those of a claim.
 */
export class FailpointSite {
  readonly #site: Site;
  readonly #nodes: readonly [Node, Node];
  readonly #koi: readonly [TrappedKoi, TrappedKoi];
  readonly #main: string;
  readonly #owners: Owners;
  readonly #before: readonly KernelState[];

  private constructor(site: Site, nodes: [Node, Node], koi: [TrappedKoi, TrappedKoi], main: string) {
    this.#site = site;
    this.#nodes = nodes;
    this.#koi = koi;
    this.#main = main;
    this.#before = nodes.map(({ router }) => readKernelState(router.netns));
    const lab = fileURLToPath(new URL('../lab', import.meta.url));
    this.#owners = new Owners(compile(lab, 'owners', join(site.directory, 'bin')), site.topology, [vip]);
  }

  static async begin({ main }: BuiltKoi, arbitration: 'log' | 'strict'): Promise<FailpointSite> {
    const site = await Site.begin();
    try {
      const koi = ['r1', 'r2'].map((name) => new TrappedKoi(main, join(site.directory, `${name}-koi`)));
      const [first, second] = koi;
      if (first === undefined || second === undefined) throw new Error('unreachable');
      const lines = { lease: { ttl: '4s', renew: '500ms' } };
      const nodes: [Node, Node] = [
        await site.node(0, first.main, { arbitration, priority: 200 }, lines),
        await site.node(1, second.main, { arbitration, priority: 100 }, lines),
      ];
      const tentative = (): string | undefined =>
        nodes.map(({ router }) => run('ip', ['-n', router.netns, 'addr'])).find((text) => text.includes('tentative'));
      await waitUntil('the hosts to have their addresses', tentative, { deadlineMs: 10_000, everyMs: 50 });
      const whole = new FailpointSite(site, nodes, [first, second], main);
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
    r1.start();
    await r1.isMaster('logged');
    r2.start();
    await r2.isBackup();
    await r2.knows(r1);

    const isHandover = name.startsWith('handover.');
    const trapped = this.#koi[name.startsWith('claim.') ? 1 : 0];
    const begunMs = nowMs();
    trapped.set(name, kind);
    if (!isHandover) await this.#site.topology.cutLan(r1.router);
    const notYet = (): string | undefined => {
      if (trapped.hasSprung(name)) return undefined;
      // Refused until the other node is known to be ready.
      return isHandover ? this.#handover(r1) : 'nobody came by';
    };
    await waitUntil(`${name} to be passed`, notYet, { deadlineMs: settleMs, everyMs: 2 });
    if (!isHandover) {
      await r2.isMaster('logged');
      await this.#site.topology.mendLan(r1.router);
    }
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
    const words = [process.execPath, this.#main, command, ...more, '-c', node.configFile];
    try {
      return execFileSync('ip', ['netns', 'exec', node.router.netns, ...words], { encoding: 'utf8', stdio: 'pipe' });
    } catch (error) {
      const { stdout, stderr } = error as { stdout?: string; stderr?: string };
      return `failed: ${stdout}${stderr}`;
    }
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
      const isRight = kernels[at] === `${virtualMac} up; ${vip}` && kernels[1 - at] === `${virtualMac} down; `;
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

/** What of Koi is in a node's kernel: its virtual-MAC links, and the VIP as often as it stands there, on whatever link. */
function kernelOf({ router }: Node): string {
  const text = execFileSync('ip', ['-n', router.netns, '-j', '-d', 'addr'], { encoding: 'utf8' });
  const all = JSON.parse(text) as LinkJson[];
  const links = all.filter(({ linkinfo }) => linkinfo?.info_kind === 'macvlan');
  const held = all.flatMap((link) => link.addr_info.filter(({ local }) => local === vip));
  const told = links.map(({ address, flags }) => `${address} ${flags.includes('UP') ? 'up' : 'down'}`);
  return `${told.join()}; ${held.map(({ local }) => local).join()}`;
}
