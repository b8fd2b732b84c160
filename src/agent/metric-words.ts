import { reasonsFor } from '../core/transitions.js';
import { vrStates } from '../core/vr-state.js';
import type { MetricWords } from '../observe/metrics.js';

/** What an advert can be refused for here; each is a series from the start. */
const advertRejections = [
  'bad_ttl',
  'wrong_destination',
  'version_mismatch',
  'address_mismatch',
  'owner_conflict',
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
] as const;

/** Every word that a label can take, so that its series exists before it first counts. */
export const metricWords = (): MetricWords => ({
  transitions: vrStates.flatMap((to) => reasonsFor[to].map((reason) => ({ to, reason }))),
  advertRejections,
  announcementFailures: ['not_sent', 'not_seen'],
  announcementRefusals: ['not_attached', 'no_sender'],
  wrongMacKinds: [],
  linkRepairKinds: ['link_deleted', 'link_changed', 'address_deleted'],
  fenceReasons: ['dataplane_lost', 'dataplane_hung', 'lease_ended'],
});
