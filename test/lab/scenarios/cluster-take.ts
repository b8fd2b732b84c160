import { type Check, check, type Scenario } from '../scenario.js';
import { clusterTaking } from '../setup.js';
import { observeFor } from '../wait.js';
import { rejoined } from './rejoined.js';
import { episode } from './told.js';

/** What challenge, claim, attaching and announcing take on a busy machine. */
const marginMs = 100;

/** Both routers reach the client and the log, but not each other, and are told to take what falls silent. */
export const lanBetweenRoutersCutTaking: Scenario = {
  name: 'cluster-lan-split-take',
  title: 'the same, onPathSplit: take',
  setup: clusterTaking,
  vip: 'moves',
  koiOnly: true,
  onDemand: true,
  narrates: true,
  promise:
    'the backup claims after 3 adverts, though the challenged master serves; that one goes with the log’s event, and nobody takes it back',
  bound: ({ advertIntervalMs }) => ({
    outageMs: marginMs,
    oneOwnerMs: 3 * advertIntervalMs + 2 * marginMs,
    severalMs: marginMs,
  }),
  begin: (lab, master) => {
    const story: Check[] = [];
    return {
      inject: () => lab.topology.splitLan(),
      observe: async () => {
        const since = new Date(Date.now() - 5_000);
        const successor = lab.master();
        story.push(await episode(successor, since, 'begins', 'advert_path_lost'));
        // Longer than either waits for the other's adverts: had it not come to rest, it would move again.
        await observeFor(8 * lab.timing.advertIntervalMs + lab.timing.skewMs);
        await lab.topology.joinLan();
        await observeFor(2 * lab.timing.advertIntervalMs);
        story.push(await rejoined(lab, successor));
      },
      checks: ({ fromMs, untilMs }) => {
        const holders = lab.owners.history(fromMs, untilMs).map(({ owners }) => owners.join('+'));
        const gained = holders.filter((each) => each !== '' && !each.includes('+')).length;
        const ok = holders[0] === master.router.name && gained === 2;
        return [...story, check('it moves once', ok, holders.map((each) => each || 'nobody').join(', '))];
      },
    };
  },
};
