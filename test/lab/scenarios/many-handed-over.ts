import type { Daemon } from '../daemon.js';
import type { Lab } from '../lab.js';
import { medianOf } from '../median.js';
import { type Check, check, type Measured, type Scenario } from '../scenario.js';
import { many } from '../setup.js';
import { waitUntil } from '../wait.js';

/** What a service manager would wait for: well under the 90 s of systemd, and shorter than an operator's patience. */
const stopDeadlineMs = 15_000;
/** Two hundred agreements in the log, each of three events, and attaching what 200 addresses cost. */
const allMovedMs = 5_000;

/** The master of all virtual routers stops: every one of them is handed over, at the same time. */
export const manyHandedOver: Scenario = {
  name: 'many-handover',
  title: `SIGTERM with ${many.virtualRouters.length} virtual routers`,
  setup: many,
  onDemand: true,
  vip: 'appears',
  koiOnly: true,
  narrates: true,
  promise: 'each is handed over make-before-break: no probe of the sampled addresses is lost',
  bound: () => ({ lost: 0 }),
  begin: async (lab, _master) => {
    const master = await gatherAll(lab);
    let ended: Promise<number | string> = Promise.resolve('never stopped');
    return {
      inject: () => {
        ended = master.stop(stopDeadlineMs);
        // Its failure is reported by the check below, which may come later than the rejection.
        ended.catch(() => {});
      },
      observe: async () => {
        await waitUntil('every virtual router to move', () => strays(lab, master), { deadlineMs: stopDeadlineMs });
        await waitUntil('the client to be answered', () => lab.answering(200), { deadlineMs: 5_000 });
      },
      checks: async (measured) => {
        const exit = await ended.catch((error: unknown) => String(error));
        return [
          check('exit 0', exit === 0, `ended with ${exit}`),
          moved(lab, measured),
          ...(await lost(lab, measured)),
        ];
      },
    };
  },
};

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

function moved(lab: Lab, { fromMs, untilMs }: Measured): Check {
  const views = lab.setup.virtualRouters.map(({ address }) => lab.owners.judge(fromMs, untilMs, address));
  const afterMs = lab.setup.virtualRouters.map(
    ({ address }) => lab.owners.history(fromMs, untilMs, address).at(-1)?.afterMs ?? Number.POSITIVE_INFINITY,
  );
  const lastMs = Math.max(...afterMs);
  const unowned = views.filter(({ noneMs }) => noneMs > 0).length;
  return check(
    `all ${views.length} moved within ${allMovedMs} ms, none was without an owner`,
    lastMs <= allMovedMs && unowned === 0,
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
