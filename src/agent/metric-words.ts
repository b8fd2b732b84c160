import { wrongMacKinds } from '../core/detect/bindings.js';
import { episodeKinds } from '../core/detect/episode.js';
import { reasonsFor } from '../core/transitions.js';
import { vrStates } from '../core/vr-state.js';
import type { MetricWords } from '../observe/metrics.js';

/** What an advert or a notice can be refused for, in the words of `wire/reasons.ts`; each is a series from the start. */
const advertRejections = [
  'truncated',
  'bad_version',
  'bad_type',
  'length_mismatch',
  'bad_trailer',
  'bad_checksum',
  'zero_id',
  'zero_addresses',
  'zero_interval',
  'unsupported_auth',
  'bad_ttl',
  'unknown_id',
  'version_mismatch',
  'protocol_mismatch',
  'interval_mismatch',
  'address_mismatch',
  'auth_mismatch',
  'bad_digest',
  'unknown_key',
  'missing_trailer',
  'stale',
  'replayed',
  'own_advert',
  'unknown_peer',
  'wrong_destination',
  'owner_conflict',
  'notice_truncated',
  'notice_foreign',
  'notice_bad_version',
  'notice_bad_length',
  'notice_bad_digest',
  'notice_bad_field',
  'notice_no_key',
  'notice_other_scope',
  'notice_replayed',
] as const;

/** Every word that a label can take, so that its series exists before it first counts. */
export const metricWords = (): MetricWords => ({
  transitions: vrStates.flatMap((to) => reasonsFor[to].map((reason) => ({ to, reason }))),
  advertRejections,
  announcementFailures: ['not_sent', 'not_seen'],
  announcementRefusals: ['not_attached', 'no_sender'],
  wrongMacKinds,
  linkRepairKinds: ['link_deleted', 'link_changed', 'address_deleted'],
  episodeKinds: [...episodeKinds, 'configuration_differs', 'log_server_down'],
  fenceReasons: ['dataplane_lost', 'dataplane_hung', 'lease_ended'],
});
