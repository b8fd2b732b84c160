import type { Daemon } from '../daemon.js';
import type { Lab } from '../lab.js';
import { medianOf } from '../median.js';
import { type Check, check, type Measured, type Scenario } from '../scenario.js';
import { many, manyPreempting, type Setup } from '../setup.js';
import { waitUntil } from '../wait.js';

/** What a service manager would wait for: well under the 90 s of systemd, and shorter than an operator's patience. */
const stopDeadlineMs = 48_000;
/** Two hundred agreements in the log, each of three events, and attaching what 200 addresses cost. */
const allMovedMs = 5_000;
const gatherMs = 30_000;

const promise = 'each is handed over make-before-break: no probe of the sampled addresses is lost';

/** All virtual routers of one node move to the other. `begin`: who has them all, and is to lose them. */
function allMove(how: {
  readonly name: string;
  readonly title: string;
  readonly setup: Setup;
  readonly begin: (lab: Lab) => Promise<Daemon>;
  /** @returns how it ended, in words; undefined: well */
  readonly move: (lab: Lab, master: Daemon) => Promise<string | undefined>;
  /** For how many adverts it waits of its own, before it has the first moved. */
  readonly waitsForAdverts?: number;
  readonly restore?: (lab: Lab) => Promise<void>;
}): Scenario {
  const { name, title, setup, begin, move, waitsForAdverts = 0, restore } = how;
  return {
    name,
    title,
    setup,
    promise,
    onDemand: true,
    vip: 'appears',
    koiOnly: true,
    narrates: true,
    bound: () => ({ lost: 0 }),
    begin: async (lab) => {
      const master = await begin(lab);
      let ended: Promise<string | undefined> = Promise.resolve('it was not begun');
      return {
        inject: () => {
          ended = move(lab, master).catch((error: unknown) => String(error));
        },
        observe: async () => {
          // Asked seldom: it looks at all of them, and takes its time from what is measured.
          const options = { deadlineMs: stopDeadlineMs, everyMs: 200 };
          await waitUntil('every virtual router to move', () => strays(lab, master), options);
          await waitUntil('the client to be answered', () => lab.answering(200), { deadlineMs: 5_000 });
        },
        checks: async (measured) => {
          const problem = await ended;
          return [
            check('ends well', problem === undefined, problem ?? 'it did'),
            moved(lab, measured, allMovedMs + waitsForAdverts * lab.timing.advertIntervalMs),
            ...(await lost(lab, measured)),
          ];
        },
        restore: () => restore?.(lab),
      };
    },
  };
}

async function commanded(daemon: Daemon, command: string): Promise<string | undefined> {
  const { code, said } = await daemon.command([command]);
  return code === 0 ? undefined : `koi ${command}: exit ${code}: ${said}`;
}

const undrainAll = async (lab: Lab): Promise<void> => {
  for (const daemon of lab.daemons.filter(({ running }) => running)) await commanded(daemon, 'undrain');
};

/** The master of all virtual routers stops: every one of them is handed over. */
export const manyHandedOver: Scenario = allMove({
  name: 'many-handover',
  title: `SIGTERM with ${many.virtualRouters.length} virtual routers`,
  setup: many,
  begin: gatherAll,
  move: async (_lab, master) => {
    const exit = await master.stop(stopDeadlineMs);
    return exit === 0 ? undefined : `it ended with ${exit}`;
  },
});

export const manyDrained: Scenario = allMove({
  name: 'many-drain',
  title: `koi drain with ${many.virtualRouters.length} virtual routers`,
  setup: many,
  begin: gatherAll,
  move: (_lab, master) => commanded(master, 'drain'),
  restore: undrainAll,
});

/** The better placed router, which was drained, is taken back into service: it asks for all of them. */
export const manyPreempted: Scenario = allMove({
  name: 'many-preempt',
  title: `preemption of ${many.virtualRouters.length} virtual routers`,
  setup: manyPreempting,
  begin: async (lab) => {
    const [best, other] = lab.daemons;
    if (best === undefined || other === undefined) throw new Error('this needs two routers');
    await commanded(best, 'drain');
    await waitUntil('the other router to have all', () => strays(lab, best), { deadlineMs: gatherMs });
    return other;
  },
  // A better placed backup takes as long as the master-down interval, under four adverts, to ask: it is the protocol's.
  waitsForAdverts: 4,
  move: (lab) => (lab.daemons[0] === undefined ? Promise.resolve('no router') : commanded(lab.daemons[0], 'undrain')),
  restore: undrainAll,
});

/** Brings every virtual router to one node: the one that does not hold most of them is stopped and started. */
async function gatherAll(lab: Lab): Promise<Daemon> {
  const held = (daemon: Daemon) =>
    lab.setup.virtualRouters.filter(({ address }) => lab.owners.now(address).includes(daemon.router.name)).length;
  const [most, ...others] = [...lab.daemons].sort((a, b) => held(b) - held(a));
  if (most === undefined) throw new Error('there is no router');
  for (const other of others.filter((each) => held(each) > 0)) await other.stop(stopDeadlineMs);
  await lab.makeWhole();
  return most;
}

function strays(lab: Lab, master: Daemon): string | undefined {
  const left = lab.setup.virtualRouters.filter(({ address }) => {
    const owners = lab.owners.now(address);
    return owners.length !== 1 || owners[0] === master.router.name;
  });
  return left.length === 0 ? undefined : `${left.length} have not, ${left[0]?.name} among them`;
}

function moved(lab: Lab, { fromMs, untilMs }: Measured, boundMs: number): Check {
  const views = lab.setup.virtualRouters.map(({ address }) => lab.owners.judge(fromMs, untilMs, address));
  const afterMs = lab.setup.virtualRouters.map(
    ({ address }) => lab.owners.history(fromMs, untilMs, address).at(-1)?.afterMs ?? Number.POSITIVE_INFINITY,
  );
  const lastMs = Math.max(...afterMs);
  const unowned = views.filter(({ noneMs }) => noneMs > 0).length;
  return check(
    `all ${views.length} moved within ${boundMs} ms, none was without an owner`,
    lastMs <= boundMs && unowned === 0,
    `the first after ${Math.min(...afterMs).toFixed(0)} ms, the last after ${lastMs.toFixed(0)}, median ` +
      `${medianOf(afterMs).toFixed(0)}; two owners for ${Math.max(...views.map((view) => view.severalMs)).toFixed(0)} ms ` +
      `at most, ${unowned} without an owner for ${Math.max(...views.map((view) => view.noneMs)).toFixed(0)} ms at most`,
  );
}

async function lost(lab: Lab, { fromMs, untilMs }: Measured): Promise<Check[]> {
  return Promise.all(
    lab.samplers.map(async (sampler) => {
      const client = await sampler.judge(fromMs, untilMs);
      const detail = `${client.lost} of ${client.sent} probes lost, outage ${client.outageMs.toFixed(1)} ms`;
      return check(sampler.address, client.lost === 0, detail);
    }),
  );
}
