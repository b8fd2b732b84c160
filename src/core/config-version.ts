import type { BootId, NodeId, Sequence } from './identity.js';

/*
 * Which configuration of a virtual router is in force, when another one comes into force, and what each node does about
 * it. Each node says in the log what it wants, which is what its file says; where all that run the virtual router want
 * the same, one appends the switch with an expectation, and everybody switches when reading it.
 */

/** The part of a virtual router's configuration that all its nodes must have in common, as the log has it. */
export interface SharedConfiguration {
  /** Names the whole of it: equal where two are the same. */
  readonly digest: string;
  readonly protocol: string;
  /** VRID or VHID. */
  readonly id: number;
  /** Sorted. */
  readonly addresses: readonly string[];
  /** The form of authentication and what else of the form peers check, in words; empty for none. */
  readonly form: string;
  /** Tells whether two keys are the same, and nothing else; empty without a key. */
  readonly key: string;
}

/** What a node wants in place of what is in force. */
export interface Wish {
  readonly node: NodeId;
  readonly boot: BootId;
  readonly digest: string;
}

/** What the log says of a virtual router's configuration. */
export interface ConfigurationRecord {
  /** Of what is in force; grows by one with each switch. 0 before the first. */
  readonly version: number;
  readonly inForce: SharedConfiguration | undefined;
  /** Who has put it into force: whoever reads that knows that this node runs, whatever is known of its lease. */
  readonly switchedBy: { readonly node: NodeId; readonly boot: BootId } | undefined;
  /** What each node wants as the next version. */
  readonly wishes: readonly Wish[];
  /** What was proposed as the next version, the newest last. */
  readonly proposed: readonly SharedConfiguration[];
  /** The newest event on the subject: what a switch must expect. */
  readonly sequence: Sequence;
}

/** What the log may say of a virtual router's configuration. */
export type ConfigurationNews =
  | { readonly type: 'configProposed'; readonly version: number; readonly configuration: SharedConfiguration }
  | { readonly type: 'configAcknowledged'; readonly version: number; readonly digest: string }
  | { readonly type: 'configWithdrawn'; readonly version: number }
  | {
      readonly type: 'configSwitched';
      readonly version: number;
      readonly configuration: SharedConfiguration;
      readonly reason: string;
    };

/** Another node that runs the virtual router now, by the log's word. */
export interface ConfigurationPeer {
  readonly node: NodeId;
  readonly boot: BootId;
  /** Undefined where it has not said: it is of an older release. */
  readonly running: SharedConfiguration | undefined;
}

export interface OwnConfiguration {
  readonly node: NodeId;
  readonly boot: BootId;
  /** What its adverts say. */
  readonly running: string;
  /** What its file says and could be switched to at once; undefined where that is what runs. */
  readonly prepared: string | undefined;
  /** What the operator has put into force without waiting for the others. */
  readonly forced: string | undefined;
}

export interface ConfigurationView {
  readonly record: ConfigurationRecord;
  readonly own: OwnConfiguration;
  readonly peers: readonly ConfigurationPeer[];
  /** Nobody else holds the virtual router: what this node runs may be taken for the first version. */
  readonly mayBegin: boolean;
}

export type SwitchReason = 'first' | 'agreed' | 'alone' | 'forced';

/** What a node does next. One at a time: whatever the log says afterwards is judged anew. */
export type ConfigurationStep =
  | { readonly type: 'propose'; readonly digest: string; readonly version: number }
  | { readonly type: 'acknowledge'; readonly digest: string; readonly version: number }
  | { readonly type: 'withdraw'; readonly version: number }
  /** Append the switch, expecting the record's sequence. */
  | { readonly type: 'switch'; readonly digest: string; readonly version: number; readonly reason: SwitchReason }
  /** What was prepared is in force: switch to it now. */
  | { readonly type: 'apply'; readonly digest: string };

/** Undefined where there is nothing to do but to wait, for the others or for the operator. */
export function nextConfigurationStep(view: ConfigurationView): ConfigurationStep | undefined {
  const { record, own, peers, mayBegin } = view;
  const version = record.version + 1;
  const inForce = record.inForce?.digest;
  if (inForce === undefined) {
    return mayBegin ? { type: 'switch', digest: own.running, version, reason: 'first' } : undefined;
  }
  if (own.prepared !== undefined && own.prepared === inForce) return { type: 'apply', digest: inForce };
  const wanted = wantedBy(own);
  const said = record.wishes.find(({ node }) => node === own.node);
  if (wanted === inForce) return said === undefined ? undefined : { type: 'withdraw', version };
  if (own.forced === wanted) return { type: 'switch', digest: wanted, version, reason: 'forced' };
  if (peers.length === 0) return { type: 'switch', digest: wanted, version, reason: 'alone' };
  if (said?.digest !== wanted || said.boot !== own.boot) {
    const isKnown = record.wishes.some(({ node, digest }) => node !== own.node && digest === wanted);
    return { type: isKnown ? 'acknowledge' : 'propose', digest: wanted, version };
  }
  return waitingFor(record, wanted, peers).length === 0
    ? { type: 'switch', digest: wanted, version, reason: 'agreed' }
    : undefined;
}

/** What a node wants: what its file says. */
export const wantedBy = ({ prepared, running }: OwnConfiguration): string => prepared ?? running;

/** Who of the others does not want the same, in this life. */
export function waitingFor(
  record: ConfigurationRecord,
  digest: string,
  peers: readonly ConfigurationPeer[],
): readonly ConfigurationPeer[] {
  const wants = (peer: ConfigurationPeer): boolean =>
    record.wishes.some((wish) => wish.node === peer.node && wish.boot === peer.boot && wish.digest === digest);
  return peers.filter((peer) => !wants(peer));
}

/** Whether a node runs something else than what is in force. A node that is about to switch does not count. */
export function differsFromForce({ inForce }: ConfigurationRecord, own: OwnConfiguration): boolean {
  return inForce !== undefined && inForce.digest !== own.running && inForce.digest !== own.prepared;
}

/** What may be applied without waiting: what is in force, and anything where nobody else runs the virtual router. */
export function mayApplyAtOnce(record: ConfigurationRecord, peers: readonly ConfigurationPeer[]): 'any' | string[] {
  if (peers.length === 0) return 'any';
  return record.inForce === undefined ? [] : [record.inForce.digest];
}

/** In what one configuration differs from another, in words: `it lacks 10.0.0.2; another key`. Empty where in nothing. */
export function configurationDifference(other: SharedConfiguration, base: SharedConfiguration): string {
  if (other.digest === base.digest) return '';
  const more = other.addresses.filter((address) => !base.addresses.includes(address));
  const less = base.addresses.filter((address) => !other.addresses.includes(address));
  const words = [
    other.protocol === base.protocol ? '' : `protocol ${other.protocol} instead of ${base.protocol}`,
    other.id === base.id ? '' : `id ${other.id} instead of ${base.id}`,
    more.length === 0 ? '' : `it has ${more.join(', ')}`,
    less.length === 0 ? '' : `it lacks ${less.join(', ')}`,
    other.form === base.form ? '' : `${other.form || 'no authentication'} instead of ${base.form || 'none'}`,
    other.key === base.key ? '' : keyWords(other, base),
  ].filter((part) => part !== '');
  return words.length === 0 ? 'in a setting that this release does not know' : words.join('; ');
}

function keyWords(other: SharedConfiguration, base: SharedConfiguration): string {
  if (other.key === '') return 'no key';
  return base.key === '' ? 'a key' : 'another key';
}
