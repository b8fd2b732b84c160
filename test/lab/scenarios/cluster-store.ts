import type { Daemon } from '../daemon.js';
import type { Lab } from '../lab.js';
import { type Check, check, type Scenario } from '../scenario.js';
import { cluster } from '../setup.js';
import { observeFor, waitUntil } from '../wait.js';
import { advertsGoOn } from './adverts-go-on.js';
import { rejoined } from './rejoined.js';
import { sumOf } from './told.js';

const undisturbed = {
  vip: 'stays',
  koiOnly: true,
  setup: cluster,
  narrates: true,
  bound: () => ({ lost: 0, severalMs: 0 }),
} as const;

/** The stream's leader dies and comes back with an empty disk: the other two have everything. */
export const wipeStore: Scenario = {
  ...undisturbed,
  name: 'cluster-wipe-store',
  title: "the leader's store is wiped",
  onDemand: true,
  promise: 'two servers keep every event; the third gets them back; nobody on the LAN notices',
  begin: async (lab, master) => {
    const victim = await lab.log.leader();
    const before = await lastSequence(lab);
    const story: Check[] = [];
    return {
      inject: () => victim.kill(),
      observe: async () => {
        victim.wipe();
        await victim.start();
        story.push(await rejoined(lab, master));
        story.push(await kept(lab, before));
      },
      checks: ({ fromMs, untilMs }) => [...story, advertsGoOn(lab, master, fromMs, untilMs)],
    };
  },
};

/** Every store is wiped: the log is made anew, and empty. */
export const wipeAllStores: Scenario = {
  ...undisturbed,
  name: 'cluster-wipe-all',
  title: "every server's store is wiped",
  onDemand: true,
  promise: 'an empty log is noticed (koi_log_regressions_total) and resets no term; the master keeps the VIP',
  begin: async (lab, master) => {
    const before = await master.view();
    const regressions = await sumOf(lab, 'koi_log_regressions_total');
    const story: Check[] = [];
    return {
      inject: () => lab.log.kill(),
      observe: async () => {
        for (const server of lab.log.servers) server.wipe();
        await lab.log.start();
        story.push(await rejoined(lab, master));
        await observeFor(2 * lab.timing.advertIntervalMs);
        const after = await master.view();
        const terms = `${before?.term} before, ${after?.term} after`;
        story.push(check('the term is not reset', (after?.term ?? 0) >= (before?.term ?? 0), terms));
        const counted = (await sumOf(lab, 'koi_log_regressions_total')) - regressions;
        story.push(check('it is noticed', counted > 0, `koi_log_regressions_total grew by ${counted}`));
      },
      checks: ({ fromMs, untilMs }) => [...story, advertsGoOn(lab, master, fromMs, untilMs)],
    };
  },
};

/** The disk under the leader's store is full: it must not take the log with it. */
export const fillDisk: Scenario = {
  ...undisturbed,
  name: 'cluster-disk-full',
  title: "the leader's disk is full",
  onDemand: true,
  promise: 'the leader gives up, the other two elect another; nobody on the LAN notices',
  begin: async (lab, master) => {
    const victim = await lab.log.leader();
    await victim.kill();
    victim.wipe();
    victim.mountSmallDisk();
    await victim.start();
    await lab.log.settle();
    await lab.log.moveLeader(victim.host.name);
    const backup = lab.daemons.find((daemon) => daemon !== master) ?? master;
    const story: Check[] = [];
    return {
      inject: () => victim.fillDisk(),
      observe: async () => {
        story.push(await appends(lab, backup));
        await observeFor(lab.timing.advertIntervalMs);
      },
      checks: ({ fromMs, untilMs }) => [...story, advertsGoOn(lab, master, fromMs, untilMs)],
      restore: async () => {
        await victim.kill();
        victim.unmountDisk();
      },
    };
  },
};

/** Makes the backup say something in the log: that it is drained, and then that it is not. */
async function appends(lab: Lab, backup: Daemon): Promise<Check> {
  const name = 'the log takes events all the same';
  const before = await lastSequence(lab);
  try {
    const tookMs = await waitUntil(
      name,
      async () => {
        const drained = await backup.command(['drain']);
        const undrained = await backup.command(['undrain']);
        const failed = [drained, undrained].find(({ code }) => code !== 0);
        if (failed !== undefined) return failed.said;
        return (await lastSequence(lab)) >= before + 2 ? undefined : 'its last event is as old as before';
      },
      { deadlineMs: 20_000, everyMs: 200 },
    );
    const leader = await lab.log.overseer.leader();
    return check(name, true, `after ${(tookMs / 1000).toFixed(1)} s, ${leader} leads`);
  } catch (error) {
    return check(name, false, String(error));
  }
}

/** The last sequence that any server has. */
async function lastSequence(lab: Lab): Promise<number> {
  const views = Object.values(await lab.log.overseer.stream());
  return Math.max(0, ...views.map((view) => view?.lastSequence ?? 0));
}

async function kept(lab: Lab, before: number): Promise<Check> {
  await lab.log.settle();
  const after = await lastSequence(lab);
  return check('the log keeps what it had', after >= before, `last event ${before} before, ${after} after`);
}
