import type { Membership } from './instance-draft.js';
import type { Directive } from './keepalived-parser.js';
import type { Ledger } from './ledger.js';
import { type Readers, readEach } from './reader-table.js';
import { Names } from './words.js';

export interface SyncGroup extends Membership {
  /** What keepalived calls it. */
  readonly said: string;
  readonly members: string[];
  /** `track_*` of the group, which hold for each member. */
  readonly tracking: Directive[];
  readonly notifying: Directive[];
}

interface Context {
  readonly group: SyncGroup;
  readonly ledger: Ledger;
  readonly instances: ReadonlySet<string>;
  /** Members of groups read before. */
  readonly taken: Set<string>;
}

const collectTracking = ({ group }: Context, directive: Directive): void => void group.tracking.push(directive);
const collectNotifying = ({ group }: Context, directive: Directive): void => void group.notifying.push(directive);
const carry = ({ ledger }: Context, directive: Directive): void => ledger.carry(directive);

export const groupReaders: Readers<Context> = {
  group: {
    koi: '`syncGroup` of its members',
    read: (context, directive) => {
      context.ledger.carry(directive);
      for (const line of directive.block ?? []) readMembers(context, line);
    },
  },
  track_interface: { koi: '`track` of its members', read: collectTracking },
  track_script: { koi: '`track` of its members', read: collectTracking },
  track_file: { koi: '`track` of its members', read: collectTracking },
  track_process: { koi: '`track` of its members', read: collectTracking },
  notify_master: { koi: '`hooks` of the first member', read: collectNotifying },
  notify_backup: { koi: '`hooks` of the first member', read: collectNotifying },
  notify: { koi: '`hooks` of the first member', read: collectNotifying },
  sync_group_tracking_weight: { koi: 'weights of its members count', read: carry },
  global_tracking: { koi: 'weights of its members count', read: carry },
};

/** Names of one line, of which there may be several. */
function readMembers({ group, ledger, instances, taken }: Context, line: Directive): void {
  const names = [line.name, ...line.values];
  const strange = names.filter((name) => !instances.has(name) || taken.has(name));
  for (const name of names) {
    if (strange.includes(name)) continue;
    taken.add(name);
    group.members.push(name);
  }
  if (strange.length < names.length) ledger.carry(line);
  if (strange.length === 0) return;
  const reason = `there is no vrrp_instance ${strange.join(', ')}, or it is in another group`;
  ledger.leave(line, { reason, remedy: 'name instances of this file, each in one group' });
}

export function readSyncGroups(
  directives: readonly Directive[],
  instances: ReadonlySet<string>,
  ledger: Ledger,
): readonly SyncGroup[] {
  const names = new Names();
  const taken = new Set<string>();
  return directives
    .filter(({ name }) => name === 'vrrp_sync_group')
    .map((directive) => {
      const said = directive.values[0] ?? '';
      const block = directive.block ?? [];
      const weights = block.some(({ name }) => name === 'sync_group_tracking_weight' || name === 'global_tracking');
      const name = names.take(said);
      const group: SyncGroup = { name, said, weights, directive, members: [], tracking: [], notifying: [] };
      ledger.carry(directive);
      if (name !== said) ledger.note(directive, `'${said}' cannot name a group, so it is ${name}`, 'nothing');
      const context = { group, ledger, instances, taken };
      // Older files name the members without a `group` block.
      const isBare = ({ name: word, block: own }: Directive): boolean => own === undefined && instances.has(word);
      for (const line of block.filter(isBare)) readMembers(context, line);
      readEach(
        groupReaders,
        context,
        block.filter((line) => !isBare(line)),
        ledger,
      );
      return group;
    });
}
