import type { ConfigurationNews, ConfigurationRecord, Wish } from '../core/config-version.js';
import { type BootId, type NodeId, type Sequence, sequence } from '../core/identity.js';
import type { ConfigurationEvent } from './event.js';
import { withEntry } from './persistent-map.js';

type Configurations = ReadonlyMap<string, ConfigurationRecord>;

/** What the log says of the configuration of a virtual router. */
export const configurationOf = (records: Configurations, vr: string): ConfigurationRecord =>
  records.get(vr) ?? emptyConfigurationRecord(sequence(0));

export function foldConfigurationEvent(records: Configurations, at: number, event: ConfigurationEvent): Configurations {
  const { vr, node, boot, payload } = event;
  const record = foldConfiguration(configurationOf(records, vr), payload, { node, boot, sequence: sequence(at) });
  return withEntry(records, vr, record);
}

/** An event that cannot be read still is the newest of its subject: the next switch has to expect it. */
export function advanceConfiguration(records: Configurations, vr: string, at: number): Configurations {
  return withEntry(records, vr, { ...configurationOf(records, vr), sequence: sequence(at) });
}

const emptyConfigurationRecord = (sequence: Sequence): ConfigurationRecord => ({
  version: 0,
  inForce: undefined,
  switchedBy: undefined,
  wishes: [],
  proposed: [],
  sequence,
});

/** The record after one more event; one of another version than the next says nothing any more. */
function foldConfiguration(
  before: ConfigurationRecord,
  news: ConfigurationNews,
  by: { readonly node: NodeId; readonly boot: BootId; readonly sequence: Sequence },
): ConfigurationRecord {
  const { node, boot, sequence } = by;
  const record = { ...before, sequence };
  if (news.version !== before.version + 1) return record;
  const others = before.wishes.filter((wish) => wish.node !== node);
  const wanting = (digest: string): readonly Wish[] => [...others, { node, boot, digest }];
  switch (news.type) {
    case 'configProposed': {
      const { configuration } = news;
      const known = before.proposed.filter(({ digest }) => digest !== configuration.digest);
      return withWishes({ ...record, proposed: [...known, configuration] }, wanting(configuration.digest));
    }
    case 'configAcknowledged':
      return withWishes(record, wanting(news.digest));
    case 'configWithdrawn':
      return withWishes(record, others);
    case 'configSwitched':
      return {
        version: news.version,
        inForce: news.configuration,
        switchedBy: { node, boot },
        wishes: [],
        proposed: [],
        sequence,
      };
  }
}

/** A proposal that nobody wants any more is none. */
function withWishes(record: ConfigurationRecord, wishes: readonly Wish[]): ConfigurationRecord {
  const proposed = record.proposed.filter(({ digest }) => wishes.some((wish) => wish.digest === digest));
  return { ...record, wishes, proposed };
}
