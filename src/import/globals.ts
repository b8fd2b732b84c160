import type { Directive } from './keepalived-parser.js';
import type { Place } from './keepalived-text.js';
import type { Ledger } from './ledger.js';
import { lastOfEach, type Readers, readEach } from './reader-table.js';
import { secondsAsMs, truth } from './words.js';

/** What `global_defs` means for all instances. */
export interface Globals {
  version: 2 | 3;
  strict: boolean;
  scriptUser: string | undefined;
  startDelay: { readonly value: string; readonly place: Place } | undefined;
}

interface Context {
  readonly globals: Globals;
  readonly ledger: Ledger;
}

const startDelayMaxMs = 3_600_000;

/** A setting that Koi has anyway as long as its value is this one. */
const onlyAs = (value: string) => (context: Context, directive: Directive) => {
  if (directive.values[0] === value) context.ledger.carry(directive);
  else context.ledger.leave(directive);
};

export const globalReaders: Readers<Context> = {
  vrrp_version: {
    koi: '`protocol`',
    read: ({ globals, ledger }, directive) => {
      const [version = ''] = directive.values;
      if (!/^[23]$/.test(version)) {
        return ledger.leave(directive, { reason: `there is no version '${version}'`, remedy: 'write 2 or 3' });
      }
      globals.version = version === '3' ? 3 : 2;
      ledger.carry(directive);
    },
  },
  vrrp_startup_delay: {
    koi: '`startDelay` for all',
    read: ({ globals, ledger }, directive) => {
      const ms = secondsAsMs(directive.values[0]);
      if (ms === undefined || ms > startDelayMaxMs) {
        return ledger.leave(directive, { reason: "it is over Koi's hour, or no time", remedy: 'set startDelay' });
      }
      globals.startDelay = { value: `${Math.round(ms)}ms`, place: directive.place };
      ledger.carry(directive);
    },
  },
  script_user: {
    koi: '`user` of scripts and hooks that name none',
    read: ({ globals, ledger }, directive) => {
      globals.scriptUser = directive.values[0];
      ledger.carry(directive);
      if (directive.values.length > 1) {
        ledger.note(directive, "Koi takes the user's own group", 'give the user that group');
      }
    },
  },
  vrrp_strict: {
    koi: '`accept: false`, the rest of it is listed',
    read: ({ globals, ledger }, directive) => {
      globals.strict = truth(directive.values[0]) === true;
      if (globals.strict) ledger.note(directive, 'of it Koi has accept: false', 'nothing');
      else ledger.carry(directive);
    },
  },
  vrrp_check_unicast_src: { koi: 'always so', read: ({ ledger }, directive) => ledger.carry(directive) },
  vrrp_mcast_group4: { koi: 'always 224.0.0.18', read: onlyAs('224.0.0.18') },
  vrrp_mcast_group6: { koi: 'always ff02::12', read: onlyAs('ff02::12') },
};

export function readGlobals(directives: readonly Directive[], ledger: Ledger): Globals {
  const globals: Globals = { version: 2, strict: false, scriptUser: undefined, startDelay: undefined };
  const blocks = directives.filter(({ name }) => name === 'global_defs');
  for (const block of blocks) ledger.carry(block);
  const all = blocks.flatMap(({ block }) => block ?? []);
  readEach(globalReaders, { globals, ledger }, lastOfEach(all, [], ledger), ledger);
  return globals;
}
