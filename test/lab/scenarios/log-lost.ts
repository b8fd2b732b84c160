import type { Lab } from '../lab.js';
import { type Check, check, type Measured, type Scenario } from '../scenario.js';
import { observeFor } from '../wait.js';
import { advertsGoOn } from './adverts-go-on.js';
import { arbitrationTimeoutMs, rejoined } from './rejoined.js';

/** What a process may take from its start to its first advert or its first listening. */
const startUpMs = 3_000;

/** The log dies and comes back while all is well: nobody on the LAN may notice. */
export const logStopped: Scenario = {
  name: 'log-stopped',
  title: 'the log stops and comes back',
  vip: 'stays',
  koiOnly: true,
  bound: () => ({ lost: 0 }),
  begin: (lab, master) => {
    let back: Check = check('the log is joined again', false, 'never observed');
    return {
      inject: () => lab.log.kill(),
      observe: async () => {
        // Longer than a backup would wait for a master that fell silent.
        await observeFor(4 * lab.timing.advertIntervalMs);
        await lab.log.start();
        back = await rejoined(lab, master);
        await observeFor(lab.timing.advertIntervalMs);
      },
      checks: ({ fromMs, untilMs }) => [back, advertsGoOn(lab, master, fromMs, untilMs)],
    };
  },
};

/** The log falls silent (its connections stay open), then the master's cable is pulled: the wire's rules must do. */
export const logStoppedCarrierLost: Scenario = {
  name: 'log-stopped-carrier-lost',
  title: 'carrier lost while the log is silent',
  vip: 'moves',
  koiOnly: true,
  bound: ({ advertIntervalMs, skewMs }) => ({ outageMs: 3 * advertIntervalMs + skewMs + arbitrationTimeoutMs + 100 }),
  begin: async (lab, master) => {
    lab.log.freeze();
    await observeFor(500);
    return {
      inject: () => lab.topology.cutLan(master.router),
      restore: () => lab.log.thaw(),
    };
  },
};

/** Both routers start while there is no log: the VIP comes up all the same, and stays when the log appears. */
export const logDownAtStart: Scenario = {
  name: 'log-down-at-start',
  title: 'the log is down when all start',
  vip: 'appears',
  koiOnly: true,
  bound: ({ advertIntervalMs, skewMs }) => ({ oneOwnerMs: 3 * advertIntervalMs + skewMs + startUpMs }),
  begin: async (lab) => {
    await Promise.all(lab.daemons.map((daemon) => daemon.stop(10_000)));
    await lab.log.kill();
    let back: Check = check('the log is joined', false, 'never observed');
    return {
      inject: () => {
        for (const daemon of lab.daemons) daemon.start();
      },
      observe: async () => {
        await lab.log.start();
        back = await rejoined(lab, lab.master());
        await observeFor(lab.timing.advertIntervalMs);
      },
      checks: async (measured) => [back, await undisturbed(lab, measured)],
    };
  },
};

async function undisturbed(lab: Lab, { fromMs, untilMs }: Measured): Promise<Check> {
  const firstMs = lab.prober.firstAnswerAfter(fromMs);
  if (firstMs === undefined) return check('nothing is lost when the log appears', false, 'the VIP never answered');
  const { lost } = await lab.prober.judge(firstMs, untilMs);
  return check('nothing is lost when the log appears', lost === 0, `${lost} probes lost after the first answer`);
}
