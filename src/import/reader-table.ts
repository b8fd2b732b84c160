import type { Directive } from './keepalived-parser.js';
import type { Ledger } from './ledger.js';

/** How one statement is read, and what it is in Koi, for the document. */
export interface Reader<Context> {
  readonly koi: string;
  read(context: Context, directive: Directive): void;
}

export type Readers<Context> = Readonly<Record<string, Reader<Context>>>;

/** Reads each statement by its row; what has none is left out. */
export function readEach<Context>(
  readers: Readers<Context>,
  context: Context,
  directives: readonly Directive[],
  ledger: Ledger,
): void {
  for (const directive of directives) {
    const reader = Object.hasOwn(readers, directive.name) ? readers[directive.name] : undefined;
    if (reader === undefined) ledger.leave(directive);
    else reader.read(context, directive);
  }
}

/** Those whose name stands again later are listed: keepalived takes the last. Lists add up, and are named in `lists`. */
export function lastOfEach(
  directives: readonly Directive[],
  lists: readonly string[],
  ledger: Ledger,
): readonly Directive[] {
  const last = new Map(directives.map((directive) => [directive.name, directive]));
  return directives.filter((directive) => {
    const counts = last.get(directive.name);
    if (counts === directive || lists.includes(directive.name)) return true;
    ledger.leave(directive, {
      reason: `it is said again in line ${counts?.place.line}, which counts`,
      remedy: 'remove it',
    });
    return false;
  });
}
