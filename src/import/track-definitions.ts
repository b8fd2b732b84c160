import { commandParts, type FindProgram, readCommand } from './command.js';
import type { Directive } from './keepalived-parser.js';
import type { Ledger } from './ledger.js';
import { lastOfEach, type Readers, readEach } from './reader-table.js';
import { secondsAsMs, wholeNumber } from './words.js';

/** A weight as keepalived has it; `reverse` turns its sign, and up and down where it is 0. */
export interface Weight {
  readonly weight: number;
  readonly reverse: boolean;
}

/** A `vrrp_script`, `track_file` or `vrrp_track_process` in Koi's words, and the weight of who tracks it without one. */
export interface Definition {
  readonly spec: Readonly<Record<string, unknown>>;
  readonly weight: Weight;
}

export interface DefinitionTools {
  readonly ledger: Ledger;
  readonly findProgram: FindProgram;
  /** The global script_user. */
  readonly scriptUser: string | undefined;
}

/** What follows the name of something tracked, and `weight` in its definition; undefined where keepalived knows no such. */
export function readWeight(words: readonly string[], max: number): Weight | undefined {
  const weight = wholeNumber(words[0], -max, max);
  const direction = words[1] ?? 'noreverse';
  if (weight === undefined || words.length > 2 || !/^(reverse|no_?reverse)$/.test(direction)) return undefined;
  return { weight, reverse: direction === 'reverse' };
}

interface Draft extends DefinitionTools {
  readonly block: readonly Directive[];
  readonly spec: Record<string, unknown>;
  weight: Weight;
  /** Why Koi cannot watch it. */
  fault?: { readonly reason: string; readonly remedy: string };
}

const unreadable = (directive: Directive, { ledger }: Draft): void =>
  ledger.leave(directive, { reason: 'it is not what keepalived expects there', remedy: 'correct it in the file' });

/** Koi looks as often as that where a delay is given, which becomes a count of looks. */
const lookEveryMs = 1_000;
const looksMax = 100;

function setWhole(key: string, min: number, max: number) {
  return (draft: Draft, directive: Directive): void => {
    const value = wholeNumber(directive.values[0], min, max);
    if (value === undefined) {
      unreadable(directive, draft);
      return;
    }
    draft.spec[key] = value;
    draft.ledger.carry(directive);
  };
}

function setWeight(max: number) {
  return (draft: Draft, directive: Directive): void => {
    const weight = readWeight(directive.values, max);
    if (weight === undefined) {
      unreadable(directive, draft);
      return;
    }
    draft.weight = weight;
    draft.ledger.carry(directive);
  };
}

function setDelay(...keys: readonly ('rise' | 'fall')[]) {
  return (draft: Draft, directive: Directive): void => {
    const ms = secondsAsMs(directive.values[0]);
    if (ms === undefined) {
      unreadable(directive, draft);
      return;
    }
    const looks = Math.min(looksMax, 1 + Math.ceil(ms / lookEveryMs));
    for (const key of keys) draft.spec[key] = looks;
    draft.spec.interval = `${lookEveryMs}ms`;
    draft.ledger.carry(directive);
  };
}

export const scriptReaders: Readers<Draft> = {
  script: {
    koi: '`script`, a list; a program without a path is looked for',
    read: (draft, directive) => {
      const found = readCommand(directive, draft.findProgram);
      if (!found.ok) {
        draft.fault = found;
        return draft.ledger.leave(directive, found);
      }
      draft.spec.script = found.command;
      draft.ledger.carry(directive);
      if (commandParts(directive).rest.length > 0) {
        draft.ledger.note(directive, 'keepalived takes only the first word, or what is in quotes', 'put it in quotes');
      }
    },
  },
  interval: {
    koi: '`interval`, by default 1s',
    read: (draft, directive) => {
      const ms = secondsAsMs(directive.values[0]);
      if (ms === undefined || ms < 100 || ms > 3_600_000) return unreadable(directive, draft);
      draft.spec.interval = `${Math.round(ms)}ms`;
      draft.ledger.carry(directive);
    },
  },
  timeout: {
    koi: '`timeout`, by default and at most the interval',
    read: (draft, directive) => {
      const ms = secondsAsMs(directive.values[0]);
      if (ms === undefined || ms < 10) return unreadable(directive, draft);
      draft.spec.timeout = `${Math.round(ms)}ms`;
      draft.ledger.carry(directive);
    },
  },
  rise: { koi: '`rise`, by default 1', read: setWhole('rise', 1, looksMax) },
  fall: { koi: '`fall`, by default 1', read: setWhole('fall', 1, looksMax) },
  weight: { koi: '`weight`, `reverse`; by default 0', read: setWeight(253) },
  user: {
    koi: '`user`; else the global `script_user`',
    read: (draft, directive) => {
      draft.spec.user = directive.values[0];
      draft.ledger.carry(directive);
      if (directive.values.length > 1) {
        draft.ledger.note(directive, "Koi takes the user's own group", 'give the user that group');
      }
    },
  },
  init_fail: {
    koi: 'with weight 0 always so',
    read: (draft, directive) => {
      draft.ledger.note(
        directive,
        'until the first look Koi counts a script without a weight as failed, and one with a weight not at all',
        'nothing, or give the virtual router a startDelay',
      );
    },
  },
};

export const fileReaders: Readers<Draft> = {
  file: {
    koi: '`file`',
    read: (draft, directive) => {
      draft.spec.file = directive.values[0];
      draft.ledger.carry(directive);
    },
  },
  weight: { koi: '`weight`, by default 1', read: setWeight(254) },
  init_file: {
    koi: 'a file that is not there counts as 0',
    read: (draft, directive) => {
      const [value = '0'] = directive.values;
      if (/^(0|overwrite)$/.test(value) && !directive.values.includes('overwrite')) draft.ledger.carry(directive);
      else draft.ledger.note(directive, 'Koi writes no file', 'write it before Koi starts');
    },
  },
};

const commandLineOnly = {
  reason: 'Koi compares the name of a program (/proc/PID/comm), not its arguments',
  remedy: 'track a script: [/usr/bin/pgrep, -f, …]',
};

export const processReaders: Readers<Draft> = {
  process: {
    koi: '`process`, the name alone',
    read: (draft, directive) => {
      const [name = '', ...args] = directive.values;
      if (args.length > 0 || name.includes('/') || name.includes(' ')) {
        draft.fault = commandLineOnly;
        return draft.ledger.leave(directive, commandLineOnly);
      }
      draft.spec.process = name;
      draft.ledger.carry(directive);
    },
  },
  weight: { koi: '`weight`, by default 0', read: setWeight(254) },
  quorum: { koi: '`quorum`', read: setWhole('quorum', 1, 65_535) },
  delay: { koi: '`rise` and `fall`, one more than its seconds', read: setDelay('rise', 'fall') },
  fork_delay: { koi: '`rise`', read: setDelay('rise') },
  terminate_delay: { koi: '`fall`', read: setDelay('fall') },
  full_command: {
    koi: 'not carried over: a script with `pgrep -f`',
    read: (draft, directive) => {
      draft.fault = commandLineOnly;
      draft.ledger.leave(directive, commandLineOnly);
    },
  },
};

/** What is tracked without a block of its own has no definition. */
export type DefinedKind = 'script' | 'file' | 'process';

const readersOf = { script: scriptReaders, file: fileReaders, process: processReaders };
const standing: Readonly<Record<DefinedKind, Readonly<Record<string, unknown>>>> = {
  script: { interval: '1000ms', rise: 1, fall: 1 },
  file: {},
  process: {},
};

/** Undefined where Koi cannot watch it; the reason is listed. */
export function readDefinition(
  kind: DefinedKind,
  definition: Directive,
  tools: DefinitionTools,
): Definition | undefined {
  const { ledger } = tools;
  const block = definition.block ?? [];
  // The manual page has 1 for a process as well; keepalived 2.2.7 itself takes 0 (test/import/weights.test.ts).
  const weight = { weight: kind === 'file' ? 1 : 0, reverse: false };
  const draft: Draft = { ...tools, block, spec: { ...standing[kind] }, weight };
  readEach(readersOf[kind], draft, lastOfEach(block, [], ledger), ledger);
  if (draft.spec[kind] === undefined) {
    const missing = { reason: `there is no ${kind} that could be watched`, remedy: `name the ${kind} in its block` };
    ledger.leave(definition, draft.fault ?? missing);
    return undefined;
  }
  ledger.carry(definition);
  if (kind === 'script') completeScript(definition, draft);
  return { spec: draft.spec, weight: draft.weight };
}

function completeScript(definition: Directive, { spec, scriptUser, ledger }: Draft): void {
  const ms = (key: string): number => Number.parseInt(String(spec[key]), 10);
  if (spec.timeout === undefined) spec.timeout = spec.interval;
  else if (ms('timeout') > ms('interval')) {
    spec.timeout = spec.interval;
    ledger.note(
      definition,
      "its timeout is longer than its interval, which is Koi's limit",
      'make the interval longer',
    );
  }
  if (ms('timeout') > 600_000) spec.timeout = '600000ms';
  if (spec.user !== undefined) return;
  if (scriptUser === undefined) {
    ledger.note(
      definition,
      'nobody says who runs it: keepalived takes keepalived_script or root, Koi koi or nobody',
      'give it a user where that makes a difference',
    );
  } else spec.user = scriptUser;
}
