import { wrongMacKinds } from '../core/detect/bindings.js';
import { agentEpisodeKinds, episodeKinds } from '../core/detect/episode.js';
import { reasonsFor } from '../core/transitions.js';
import { vrStates } from '../core/vr-state.js';
import type { MetricWords } from '../observe/metrics.js';
import { advertRefusals, noticeRefusals } from '../wire/reasons.js';

/** Every word that a label can take, so that its series exists before it first counts. */
export const metricWords = (): MetricWords => ({
  transitions: vrStates.flatMap((to) => reasonsFor[to].map((reason) => ({ to, reason }))),
  advertRejections: [...advertRefusals, ...noticeRefusals],
  announcementFailures: ['not_sent', 'not_seen'],
  announcementRefusals: ['not_attached', 'no_sender'],
  wrongMacKinds,
  linkRepairKinds: ['link_deleted', 'link_changed', 'address_deleted', 'address_changed'],
  episodeKinds: [...episodeKinds, ...agentEpisodeKinds],
  fenceReasons: ['dataplane_lost', 'dataplane_hung', 'lease_ended'],
  sysctlKeys: ['arp_ignore', 'arp_announce'],
});
