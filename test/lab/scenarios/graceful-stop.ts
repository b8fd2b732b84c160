import { kernelDifferences, readKernelState } from '../kernel-state.js';
import { check, type Scenario } from '../scenario.js';

/** An administrator stops the master: nothing but the handover may be felt, and nothing may stay behind. */
export const gracefulStop: Scenario = {
  name: 'graceful-stop',
  title: 'SIGTERM to the master',
  vip: 'moves',
  bound: () => ({ outageMs: 10 }),
  begin: (lab, master) => {
    let ended: Promise<number | string> = Promise.resolve('never stopped');
    return {
      inject: () => {
        ended = master.stop(10_000);
        // Its failure is reported by the check below, which may come later than the rejection.
        ended.catch(() => {});
      },
      checks: async () => {
        const exit = await ended.catch((error: unknown) => String(error));
        const before = lab.baseline.get(master.router.name) ?? new Map();
        const differences = kernelDifferences(before, readKernelState(master.router.netns));
        return [
          check('exit 0', exit === 0, `ended with ${exit}`),
          check('kernel as before', differences.length === 0, differences.slice(0, 5).join('; ')),
        ];
      },
    };
  },
};
