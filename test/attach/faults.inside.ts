import { isDeepStrictEqual } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { dumpAddresses } from '../../src/kernel/addresses.js';
import { dumpLinks } from '../../src/kernel/links.js';
import { isKoiGroup, ROUTE_PROTOCOL } from '../../src/kernel/names.js';
import { NETLINK_NETFILTER, Netlink } from '../../src/kernel/netlink.js';
import { netfilter } from '../../src/kernel/nft-message.js';
import { type Cable, good, ip, layCable, milliseconds } from '../kernel/cable.js';
import { type KernelState, kernelDifferences, readKernelState } from '../lab/kernel-state.js';
import { say } from '../races/figure.js';
import { FaultStage, heldByProcess } from './fault-stage.js';
import { specOf } from './host.js';
import { type Fault, KernelFaults } from './kernel-faults.js';

const faults = new KernelFaults();
const isAll = process.env.KOI_RACES === 'all';
const other = process.env.KOI_TEST_CLIENT ?? '';
const own = process.env.KOI_TEST_NAMESPACE ?? '';

const before = ['10.77.0.251', 'fd77::251'];
const after = ['10.77.0.251', '10.77.0.252', 'fd77::252'];
const route = { via: undefined, source: undefined, table: undefined, metric: undefined, behindOthers: false };
const spec = {
  ...specOf(51, before),
  routes: [
    { ...route, destination: { address: '10.99.0.0', prefixLength: 24 } },
    { ...route, destination: { address: 'fd99::', prefixLength: 64 } },
  ],
};

let cable: Cable;

beforeAll(async () => {
  cable = await layCable();
  // Kept open for the life of a process.
  netfilter();
  Netlink.open(NETLINK_NETFILTER).close();
});
afterAll(() => cable.remove());

/** Addresses and routes of Koi's, and its links that are up, as the kernel has them. */
function inForce(stage: FaultStage, namespace: string): string[] {
  const links = good(dumpLinks(stage.place)).filter(({ group }) => isKoiGroup(group));
  const named = new Map(links.map(({ ifindex, name }) => [ifindex, name]));
  const addresses = good(dumpAddresses(stage.place)).filter(({ ifindex }) => named.has(ifindex));
  const routes = ['-4', '-6'].flatMap((family) =>
    ip(`-n ${namespace} ${family} route show table all proto ${ROUTE_PROTOCOL}`).split('\n'),
  );
  return [
    ...links.filter(({ flags }) => flags.up).map(({ name, mac }) => `${name} ${mac} up`),
    ...addresses.map(({ address, ifindex }) => `${address} on ${named.get(ifindex)}`),
    ...routes.filter((line) => line !== '').map((line) => line.split(' ').slice(0, 3).join(' ')),
  ].sort();
}

const linkUp = `${spec.linkName} ${spec.virtualMac} up`;
const whole = (addresses: readonly string[]): string[] =>
  [
    linkUp,
    ...addresses.map((address) => `${address} on ${spec.linkName}`),
    ...['10.99.0.0/24', 'fd99::/64'].map((destination) => `${destination} dev ${spec.linkName}`),
  ].sort();

/** The monitor has heard of everything, whatever it was told and not told. */
function expectHeard({ monitor, place }: FaultStage): void {
  monitor.drain();
  const links = (of: Iterable<{ ifindex: number; flags: object }>) =>
    [...of].map(({ ifindex, flags }) => `${ifindex} ${JSON.stringify(flags)}`).sort();
  expect(links(monitor.links.values())).toEqual(links(good(dumpLinks(place))));
  const known = [...monitor.links.keys()].flatMap((ifindex) => [...monitor.addressesOf(ifindex).values()]);
  const addresses = (of: readonly { ifindex: number; address: string }[]) =>
    of.map(({ ifindex, address }) => `${address} on ${ifindex}`).sort();
  expect(addresses(known)).toEqual(addresses(good(dumpAddresses(place))));
}

interface Operation {
  readonly name: string;
  /** Up to here all goes well. */
  readonly ready: (stage: FaultStage) => Promise<unknown>;
  readonly act: (stage: FaultStage) => unknown;
  /** What must be so at once, whatever came of it. @param error undefined where it went well */
  readonly expected: (stage: FaultStage, error: Error | undefined, namespace: string) => unknown;
  /** Nothing is to be given back any more. */
  readonly leaves?: boolean;
}

async function entered(stage: FaultStage): Promise<void> {
  await stage.bind();
  await stage.enter();
}

async function attached(stage: FaultStage): Promise<void> {
  await entered(stage);
  await stage.attachment.attach(stage.parentIfindex);
}

async function attachOutcome(stage: FaultStage, error: Error | undefined, namespace: string): Promise<void> {
  const { attachment } = stage;
  if (error !== undefined) {
    expect(attachment.token).toBeUndefined();
    expect(inForce(stage, namespace).filter((each) => each !== linkUp)).toEqual([]);
    await attachment.settled;
    await stage.monitor.waitFor(
      () => stage.monitor.linkByName(spec.linkName)?.flags.up !== true || undefined,
      1000,
      'the link being down',
    );
    await attachment.attach(stage.parentIfindex);
  }
  expect(attachment.token?.valid).toBe(true);
  expect(inForce(stage, namespace)).toEqual(whole(before));
}

const operations: readonly Operation[] = [
  {
    name: 'opening the sockets on the parent',
    ready: async () => undefined,
    act: (stage) => stage.bind(),
    expected: (stage, error) => (error === undefined ? undefined : stage.bind()),
  },
  {
    name: 'guards and net',
    ready: (stage) => stage.bind(),
    act: (stage) => stage.enter(),
    expected: (stage, error) => (error === undefined ? undefined : stage.enter()),
  },
  {
    name: 'prepare',
    ready: entered,
    act: (stage) => stage.attachment.prepare(stage.parentIfindex),
    expected: (stage, error, namespace) => {
      expect(inForce(stage, namespace)).toEqual([]);
      if (error !== undefined) stage.attachment.prepare(stage.parentIfindex);
      expect(stage.attachment.linkIfindex).toBeDefined();
    },
  },
  {
    name: 'attach',
    ready: entered,
    act: (stage) => stage.attachment.attach(stage.parentIfindex),
    expected: attachOutcome,
  },
  {
    name: 'attach, prepared',
    ready: async (stage) => {
      await entered(stage);
      stage.attachment.prepare(stage.parentIfindex);
    },
    act: (stage) => stage.attachment.attach(stage.parentIfindex),
    expected: attachOutcome,
  },
  {
    name: 'hush and back',
    ready: attached,
    act: (stage) => {
      stage.attachment.hush(true);
      stage.attachment.hush(false);
    },
    expected: (stage, error, namespace) => {
      expect(inForce(stage, namespace)).toEqual(whole(before));
      if (error !== undefined) stage.attachment.hush(false);
    },
  },
  {
    name: 'change of addresses',
    ready: attached,
    act: (stage) => stage.attachment.changeAddresses(after),
    expected: async (stage, error, namespace) => {
      expect(stage.attachment.token?.valid).toBe(true);
      expect(stage.attachment.spec.addresses).toEqual(error === undefined ? after : before);
      expect(inForce(stage, namespace)).toEqual(whole(error === undefined ? after : before));
      if (error !== undefined) await stage.attachment.changeAddresses(after);
      expect(inForce(stage, namespace)).toEqual(whole(after));
    },
  },
  {
    name: 'detach',
    ready: attached,
    act: (stage) => stage.attachment.detach(),
    expected: (stage, error, namespace) => {
      expect(stage.attachment.token).toBeUndefined();
      expect(inForce(stage, namespace).filter((each) => each !== linkUp)).toEqual([]);
      if (error !== undefined) stage.attachment.detach();
    },
  },
  {
    name: 'remake',
    ready: async (stage) => {
      await attached(stage);
      stage.attachment.detach();
    },
    act: (stage) => stage.attachment.remake(),
    expected: (stage, error, namespace) => {
      if (error !== undefined) stage.attachment.prepare(stage.parentIfindex);
      expect(stage.attachment.linkIfindex).toBeDefined();
      expect(inForce(stage, namespace)).toEqual([]);
    },
  },
  {
    name: 'destroy',
    ready: attached,
    act: (stage) => stage.attachment.destroy(),
    expected: (stage, error) => (error === undefined ? undefined : stage.attachment.destroy()),
  },
  {
    name: 'giving back',
    ready: async (stage) => {
      await attached(stage);
      await stage.attachment.destroy();
    },
    act: (stage) => stage.leave(),
    leaves: true,
    // Whatever has stayed is found by the next run.
    expected: (stage) => stage.leaveAgain(),
  },
];

const errnos = ['EPERM', 'ENOBUFS', 'ENOMEM'] as const;
const timings = ['refused', 'answer lost'] as const;

test.each(errnos)('a monitor that could read nothing for a while, %s, has heard of everything afterwards', (errno) => {
  const stage = new FaultStage(cable.nearName, spec);
  try {
    faults.arm({ call: 1, errno, timing: 'refused', lasts: true });
    ip(`address add 10.77.5.5/32 dev ${cable.nearName}`);
    stage.monitor.drain();
    faults.disarm();
    expect(stage.monitor.has(cable.near, '10.77.5.5')).toBe(false);
    expectHeard(stage);
    expect(stage.monitor.has(cable.near, '10.77.5.5')).toBe(true);
  } finally {
    faults.disarm();
    ip(`address del 10.77.5.5/32 dev ${cable.nearName}`);
    stage.close();
  }
});

const kinds = errnos.flatMap((errno) => timings.map((timing) => ({ errno, timing })));
/** What is left in a kernel stays there: in the short form it is looked for after so many. */
const kernelsEvery = 10;
/** In the short form each call fails once, in one way after the other. */
const kindsOf = (call: number) => (isAll ? kinds : kinds.filter((_, index) => index === call % kinds.length));
/** In another namespace the calls are the same but for those of sysctls, and each takes longer. */
const callsAtOnce = (where: 'own' | 'another') => (isAll || where === 'own' ? 1 : 3);

type Held = ReturnType<typeof heldByProcess>;

/** What this process holds, as soon as that is what is wanted: a socket that was polled is closed by the loop. */
async function heldAtLast(wanted: Held | undefined): Promise<Held> {
  const deadlineMs = performance.now() + (wanted === undefined ? 100 : 1000);
  for (;;) {
    await milliseconds(2);
    const held = heldByProcess();
    if (wanted !== undefined && isDeepStrictEqual(held, wanted)) return held;
    if (performance.now() > deadlineMs) return held;
  }
}

const differs = (when: string, held: Held, wanted: Held): string[] =>
  [...new Set([...Object.keys(held), ...Object.keys(wanted)])].flatMap((what) =>
    held[what] === wanted[what] ? [] : [`${when} it holds ${what} ${held[what] ?? 0} times, not ${wanted[what] ?? 0}`],
  );

async function outcomeOf(act: () => unknown): Promise<Error | undefined> {
  try {
    await act();
    return undefined;
  } catch (error) {
    if (error instanceof Error) return error;
    throw error;
  }
}

describe.each(['own', 'another'] as const)('in %s network namespace', (where) => {
  const namespace = where === 'own' ? own : other;
  const kernels = (): KernelState[] => [...new Set([own, namespace])].map(readKernelState);
  const differences = (was: readonly KernelState[]): string[] =>
    kernels().flatMap((is, index) => kernelDifferences(was[index] ?? new Map(), is));

  /** @returns what was wrong, if anything */
  async function once({ ready, act, expected, leaves }: Operation, fault: Fault, wanted?: Held) {
    const stage = new FaultStage(cable.nearName, spec, where === 'own' ? undefined : other);
    const problems: string[] = [];
    await ready(stage);
    faults.arm(fault);
    const error = await outcomeOf(() => act(stage));
    const { calls, failed } = faults;
    faults.disarm();
    const wrong = await outcomeOf(async () => {
      await expected(stage, error, namespace);
      expectHeard(stage);
    });
    if (wrong !== undefined) problems.push(wrong.message);
    const held = await heldAtLast(wanted);
    const left = await outcomeOf(async () => {
      if (leaves === true) return;
      if (stage.isEntered) await stage.attachment.destroy();
      await stage.leave();
    });
    if (left !== undefined) problems.push(`in the end: ${left.message}`);
    stage.close();
    const said = `${fault.errno} ${fault.timing} at call ${fault.call}, ${failed}; ${error?.message ?? 'it went well'}`;
    return { hit: calls >= fault.call, refused: error !== undefined, said, problems, held };
  }

  test.each(operations)(
    '$name: each kernel call fails once, and nothing is left',
    {
      timeout: 600_000,
    },
    async (operation) => {
      const clean = await once(operation, { call: 1_000_000, errno: 'EPERM', timing: 'refused' });
      expect(clean.problems).toEqual([]);
      const was = { kernels: kernels(), process: await heldAtLast(undefined) };
      const problems: string[] = [];
      const counts = { runs: 0, refused: 0 };
      for (let call = 1, more = true; more; call += callsAtOnce(where)) {
        for (const kind of kindsOf(call)) {
          const { hit, refused, said, problems: found, held } = await once(operation, { call, ...kind }, clean.held);
          if (isAll || counts.runs % kernelsEvery === 0 || !hit) found.push(...differences(was.kernels));
          found.push(...differs('once it has worked', held, clean.held));
          const process = await heldAtLast(was.process);
          found.push(...differs('in the end', process, was.process));
          if (found.length > 0) problems.push(`${said}: ${found.join('; ')}`);
          // What was left once is told once.
          if (found.length > 0) Object.assign(was, { kernels: kernels(), process });
          more &&= hit;
          counts.runs += 1;
          counts.refused += refused ? 1 : 0;
        }
      }
      say(
        `${operation.name}, ${where} namespace: ${counts.runs - 1} calls failed, after ${counts.refused} it was refused`,
      );
      expect(problems).toEqual([]);
    },
  );
});
