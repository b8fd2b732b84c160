import { commandParts, type FindProgram, readCommand } from './command.js';
import type { Directive } from './keepalived-parser.js';
import type { Ledger } from './ledger.js';

/** The statements that call a script when the state changes. */
export const notifyKeywords = ['notify_master', 'notify_backup', 'notify'] as const;

export interface HookDraft {
  postMaster?: readonly string[];
  postRelease?: readonly string[];
  user?: string;
}

export interface HookTools {
  readonly ledger: Ledger;
  readonly findProgram: FindProgram;
  readonly scriptUser: string | undefined;
}

/** What `notify` is called with: GROUP or INSTANCE, its name, the state, the priority. */
export interface Notified {
  readonly kind: 'GROUP' | 'INSTANCE';
  readonly name: string;
  readonly priority: number;
}

/** The hooks that these statements say; undefined where there are none. */
export function readHooks(
  directives: readonly Directive[],
  notified: Notified,
  tools: HookTools,
): HookDraft | undefined {
  const hooks: HookDraft = {};
  // A script of its own for a state goes before the general one.
  for (const keyword of notifyKeywords) {
    for (const directive of directives) if (directive.name === keyword) readOne(directive, hooks, notified, tools);
  }
  return hooks.postMaster === undefined && hooks.postRelease === undefined ? undefined : hooks;
}

function readOne(directive: Directive, hooks: HookDraft, notified: Notified, tools: HookTools): void {
  const { ledger } = tools;
  const found = readCommand(directive, tools.findProgram);
  if (!found.ok) {
    ledger.leave(directive, found);
    return;
  }
  const [said, userGroup] = commandParts(directive).rest;
  const user = said ?? tools.scriptUser;
  if (hooks.user !== undefined && user !== undefined && user !== hooks.user) {
    ledger.leave(directive, {
      reason: `the hooks of a virtual router run as one user, ${hooks.user}`,
      remedy: 'give both the same user, or use sudo in the script',
    });
    return;
  }
  const { command } = found;
  const general = (state: string) => [...command, notified.kind, notified.name, state, String(notified.priority)];
  const wanted =
    directive.name === 'notify_master'
      ? { postMaster: command }
      : directive.name === 'notify_backup'
        ? { postRelease: command }
        : { postMaster: general('MASTER'), postRelease: general('BACKUP') };
  const free = Object.entries(wanted).filter(([key]) => hooks[key as 'postMaster' | 'postRelease'] === undefined);
  if (free.length === 0) {
    ledger.leave(directive, {
      reason: 'Koi runs one command a hook, and there is one already',
      remedy: 'call both from one script',
    });
    return;
  }
  Object.assign(hooks, Object.fromEntries(free));
  if (user !== undefined) hooks.user = user;
  ledger.carry(directive);
  if (directive.name !== 'notify_master') {
    ledger.note(
      directive,
      'Koi calls it when the addresses are off, for whatever reason, and not at the start',
      'look at KOI_STATE and KOI_REASON in the script, see docs/tracking.md',
    );
  }
  if (user === undefined) {
    ledger.note(
      directive,
      'nobody says who runs it: keepalived takes keepalived_script or root, Koi koi or nobody',
      'give hooks a user where that makes a difference',
    );
  }
  if (userGroup !== undefined) {
    ledger.note(directive, "Koi takes the user's own group", 'give the user that group');
  }
}
