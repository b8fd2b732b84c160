import type { Daemon } from '../daemon.js';
import type { Lab } from '../lab.js';
import { type Check, check, type Measured, type Scenario } from '../scenario.js';
import { waitUntil } from '../wait.js';

/** The master's cable is pulled. It notices, and says so over the management network. */
export const carrierLost: Scenario = {
  name: 'carrier-lost',
  title: 'carrier lost on the LAN',
  vip: 'moves',
  bound: () => ({ outageMs: 30 }),
  begin: (lab, master) => ({
    inject: () => lab.topology.cutLan(master.router),
    checks: async (measured) => releasedInLog(lab, master, measured),
  }),
};

/** The switch stops forwarding for the master, whose carrier stays: only the silence tells. */
export const silentPathLoss: Scenario = {
  name: 'silent-path-loss',
  title: 'switch port silent, carrier stays',
  vip: 'moves',
  bound: ({ advertIntervalMs }) => ({ outageMs: 3 * advertIntervalMs + 50 }),
  begin: (lab, master) => ({ inject: () => lab.topology.silenceLan(master.router) }),
};

async function releasedInLog(lab: Lab, master: Daemon, measured: Measured): Promise<Check[]> {
  const reader = lab.daemons.find((daemon) => daemon !== master);
  if (reader === undefined || (await reader.timeline(measured.since)) === undefined) return [];
  const name = 'the master says Released';
  try {
    await waitUntil(
      name,
      async () => {
        const lines = (await reader.timeline(measured.since)) ?? [];
        const said = lines.some((line) => line.node === master.router.name && /^released$/i.test(line.type));
        return said
          ? undefined
          : `the log has ${lines.map((line) => `${line.node}:${line.type}`).join(', ') || 'nothing'}`;
      },
      { deadlineMs: 2_000, everyMs: 50 },
    );
    return [check(name, true, '')];
  } catch (error) {
    return [check(name, false, String(error))];
  }
}
