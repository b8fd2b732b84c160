import type { Directive } from './keepalived-parser.js';
import type { Ledger } from './ledger.js';
import {
  type DefinedKind,
  type Definition,
  type DefinitionTools,
  readDefinition,
  readWeight,
  type Weight,
} from './track-definitions.js';
import { Names } from './words.js';

export type TrackedKind = 'interface' | DefinedKind;

/** An entry of `track`, and the lines that it comes from. */
export interface ImportedTrack {
  readonly entry: Readonly<Record<string, unknown>> & { readonly name: string };
  readonly from: Directive;
  /** Those that say the same, this one included. */
  readonly lines: Directive[];
  /** What defines it; undefined for an interface. */
  readonly block: Directive | undefined;
}

/** The blocks that say what can be tracked, by their keywords. */
export const definingKeywords: Readonly<Record<string, DefinedKind>> = {
  vrrp_script: 'script',
  track_file: 'file',
  vrrp_track_file: 'file',
  track_process: 'process',
  vrrp_track_process: 'process',
};

/** Koi checks this number; what comes after is listed here, where the statement is known. */
const tracksMax = 256;

/**
 * What virtual routers track. A weight belongs to an entry of Koi's `track`, and to the one who tracks in keepalived: so
 * each weight makes an entry of its own.
 */
export class TrackBook {
  readonly #tools: DefinitionTools;
  readonly #ledger: Ledger;
  readonly #names = new Names();
  readonly #blocks: Readonly<Record<DefinedKind, Map<string, Directive>>>;
  readonly #definitions = new Map<Directive, Definition | undefined>();
  readonly #tracks = new Map<string, ImportedTrack>();

  constructor(directives: readonly Directive[], tools: DefinitionTools) {
    this.#tools = tools;
    this.#ledger = tools.ledger;
    this.#blocks = { script: new Map(), file: new Map(), process: new Map() };
    for (const directive of directives) {
      const kind = Object.hasOwn(definingKeywords, directive.name) ? definingKeywords[directive.name] : undefined;
      const [name] = directive.values;
      if (kind !== undefined && name !== undefined && !this.#blocks[kind].has(name)) {
        this.#blocks[kind].set(name, directive);
      }
    }
  }

  get tracks(): readonly ImportedTrack[] {
    return [...this.#tracks.values()];
  }

  /**
   * One line of `track_script` and its kind.
   *
   * @param inGroup whether a group decides on the weights, which keepalived then takes as 0
   * @returns the name of an entry of `track`; undefined where the line is left out
   */
  refer(kind: TrackedKind, line: Directive, inGroup: boolean): string | undefined {
    const definition = this.#definitionOf(kind, line);
    if (definition === undefined) return undefined;
    const [keyword, ...words] = line.values;
    const own =
      keyword === 'weight' ? readWeight(words, kind === 'interface' || kind === 'script' ? 253 : 254) : undefined;
    if (keyword !== undefined && own === undefined) {
      this.#ledger.leave(line, { reason: `'${line.values.join(' ')}' is no weight`, remedy: 'correct it in the file' });
      return undefined;
    }
    const said = own ?? definition.weight;
    const weight = inGroup ? { ...said, weight: 0 } : said;
    const block = kind === 'interface' ? undefined : this.#blocks[kind].get(line.name);
    const found = this.#take(line, { ...definition.spec, ...inKoi(kind, weight) }, block);
    if (found === undefined) return undefined;
    this.#ledger.carry(line);
    if (inGroup && said.weight !== 0) {
      const reason =
        'in a group without sync_group_tracking_weight keepalived takes its weight as 0: failing is a fault';
      this.#ledger.note(line, reason, 'nothing');
    }
    return found;
  }

  /** Lists the blocks that none of these tracks is made of; those that cannot be one are listed already. */
  leaveUnused(used: readonly ImportedTrack[]): void {
    const blocksUsed = new Set(used.map(({ block }) => block));
    for (const block of Object.values(this.#blocks).flatMap((blocks) => [...blocks.values()])) {
      const unusable = this.#definitions.has(block) && this.#definitions.get(block) === undefined;
      if (blocksUsed.has(block) || unusable) continue;
      this.#ledger.leave(block, { reason: 'nothing that Koi takes over tracks it', remedy: 'nothing' });
    }
  }

  /** Whether this is one of the blocks that count, and not a second one of the same name. */
  has(block: Directive): boolean {
    return Object.values(this.#blocks).some((blocks) => blocks.get(block.values[0] ?? '') === block);
  }

  #definitionOf(kind: TrackedKind, line: Directive): Definition | undefined {
    if (kind === 'interface') return { spec: { interface: line.name }, weight: { weight: 0, reverse: false } };
    const block = this.#blocks[kind].get(line.name);
    if (block === undefined) {
      this.#ledger.leave(line, { reason: `no block defines the ${kind} ${line.name}`, remedy: 'define it' });
      return undefined;
    }
    if (!this.#definitions.has(block)) this.#definitions.set(block, readDefinition(kind, block, this.#tools));
    const definition = this.#definitions.get(block);
    if (definition === undefined) {
      this.#ledger.leave(line, { reason: `the ${kind} ${line.name} is not carried over`, remedy: 'see its block' });
    }
    return definition;
  }

  #take(line: Directive, spec: Readonly<Record<string, unknown>>, block: Directive | undefined): string | undefined {
    const key = JSON.stringify([line.name, spec]);
    const known = this.#tracks.get(key);
    if (known !== undefined) {
      known.lines.push(line);
      return known.entry.name;
    }
    if (this.#tracks.size >= tracksMax) {
      this.#ledger.leave(line, { reason: `Koi tracks ${tracksMax} things at most`, remedy: 'track fewer' });
      return undefined;
    }
    const name = this.#names.take(line.name);
    this.#tracks.set(key, { entry: { name, ...spec }, from: line, lines: [line], block });
    return name;
  }
}

/**
 * keepalived's `reverse` turns the sign: `weight 10 reverse` takes 10 away while it is up. Koi's turns up and down: the
 * same is `weight: -10, reverse: true`. A file's number has no up and down unless the weight is 0.
 */
function inKoi(kind: TrackedKind, { weight, reverse }: Weight): Readonly<Record<string, unknown>> {
  if (!reverse) return { weight };
  if (kind === 'file' && weight !== 0) return { weight: -weight };
  return { weight: weight === 0 ? 0 : -weight, reverse: true };
}
