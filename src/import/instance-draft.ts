import type { FindProgram } from './command.js';
import type { Globals } from './globals.js';
import { familyOf } from './instance-addresses.js';
import type { Directive } from './keepalived-parser.js';
import type { Place } from './keepalived-text.js';
import type { Ledger, Why } from './ledger.js';
import type { TrackBook } from './track-book.js';

/** An entry of a virtual router, with the line it comes from. */
export interface ImportedEntry {
  readonly key: string;
  readonly value: unknown;
  readonly place: Place;
}

/** What the instances of a file have in common. */
export interface Shared {
  readonly ledger: Ledger;
  readonly globals: Globals;
  readonly tracks: TrackBook;
  readonly findProgram: FindProgram;
  /** Those that a virtual router has already. */
  readonly addresses: Set<string>;
}

/** A sync group that an instance is a member of. */
export interface Membership {
  readonly name: string;
  readonly weights: boolean;
  readonly directive: Directive;
}

/** One `vrrp_instance` while it is read. */
export class InstanceDraft {
  readonly shared: Shared;
  readonly directive: Directive;
  readonly group: Membership | undefined;
  readonly family: 4 | 6;
  readonly version: 2 | 3;
  readonly device: string | undefined;
  /** What it added to the shared addresses. */
  readonly claimed: string[] = [];
  readonly peers: string[] = [];
  minTtl: number | undefined;
  peersFrom: Directive | undefined;
  /** Why it cannot be a virtual router. */
  fault: Why | undefined;
  readonly #entries = new Map<string, ImportedEntry>();

  constructor(directive: Directive, shared: Shared, group: Membership | undefined) {
    this.shared = shared;
    this.directive = directive;
    this.group = group;
    this.device = this.valueOf('interface');
    const first = this.allOf('virtual_ipaddress')[0]?.block?.find(({ name }) => familyOf(name) !== undefined);
    this.family = familyOf(first?.name ?? '') ?? (this.has('native_ipv6') ? 6 : 4);
    const said = this.valueOf('version') ?? String(shared.globals.version);
    this.version = this.family === 6 || said === '3' ? 3 : 2;
  }

  get ledger(): Ledger {
    return this.shared.ledger;
  }

  get block(): readonly Directive[] {
    return this.directive.block ?? [];
  }

  get entries(): readonly ImportedEntry[] {
    return [...this.#entries.values()];
  }

  allOf(name: string): readonly Directive[] {
    return this.block.filter((directive) => directive.name === name);
  }

  has(name: string): boolean {
    return this.allOf(name).length > 0;
  }

  /** The last one's, as in keepalived. */
  valueOf(name: string): string | undefined {
    return this.allOf(name).at(-1)?.values[0];
  }

  get priority(): number {
    const value = Number(this.valueOf('priority') ?? 100);
    return Number.isInteger(value) && value >= 1 && value <= 255 ? value : 100;
  }

  /** Whether keepalived begins as master, which switches `nopreempt` and `preempt_delay` off. */
  get startsAsMaster(): boolean {
    return this.valueOf('state') === 'MASTER';
  }

  isStrict(): boolean {
    const own = this.allOf('strict_mode').at(-1);
    return own === undefined ? this.shared.globals.strict : /^(on|true|yes)$/.test(own.values[0] ?? 'on');
  }

  /** The interface itself, or the name of its virtual-MAC link. */
  isOwnDevice(name: string): boolean {
    return name === this.device || name === this.valueOf('use_vmac');
  }

  set(key: string, value: unknown, from: Directive): void {
    this.#entries.set(key, { key, value, place: from.place });
    this.ledger.carry(from);
  }

  /** Adds to a list. */
  append(key: string, values: readonly unknown[], from: Directive): void {
    const entry = this.#entries.get(key);
    const before = Array.isArray(entry?.value) ? (entry.value as unknown[]) : [];
    this.#entries.set(key, { key, value: [...before, ...values], place: entry?.place ?? from.place });
    this.ledger.carry(from);
  }

  /** Adds to a map. */
  merge(key: string, values: object, from: Directive): void {
    const entry = this.#entries.get(key);
    const before = entry === undefined ? {} : (entry.value as object);
    this.#entries.set(key, { key, value: { ...before, ...values }, place: entry?.place ?? from.place });
    this.ledger.carry(from);
  }

  leave(from: Directive, reason: string, remedy: string): void {
    this.ledger.leave(from, { reason, remedy });
  }
}
