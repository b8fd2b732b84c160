import type { KoiEvent } from './event.js';
import { isConfiguration, isLease, isOwnership } from './event.js';

/**
 * Where a cluster's events live in NATS. A name becomes one subject token: ASCII letters, digits and `-` stay, every
 * other byte of its UTF-8 form turns into `_` and two hexadecimal digits. Reversible, so two names never share a token.
 */
export interface LogNames {
  readonly cluster: string;
  /** Stream of ownership events, configuration events and observations. */
  readonly stream: string;
  /** Stream of the nodes' leases, one message each. */
  readonly leaseStream: string;
  readonly ownershipSubject: (vr: string) => string;
  readonly configurationSubject: (vr: string) => string;
  readonly nodeSubject: (node: string) => string;
  readonly leaseSubject: (node: string) => string;
  /** Direct messages to a node; no stream keeps them. */
  readonly peerSubject: (node: string) => string;
  /** Everything the event stream accepts. */
  readonly streamSubjects: readonly string[];
  readonly leaseStreamSubjects: readonly string[];
}

const streamPrefix = 'KOI_';
const leaseSuffix = '_LEASE';

export function logNames(cluster: string): LogNames {
  const token = subjectToken(cluster);
  const stream = `${streamPrefix}${streamToken(cluster)}`;
  return {
    cluster,
    stream,
    leaseStream: `${stream}${leaseSuffix}`,
    ownershipSubject: (vr) => `koi.${token}.own.${subjectToken(vr)}`,
    configurationSubject: (vr) => `koi.${token}.conf.${subjectToken(vr)}`,
    nodeSubject: (node) => `koi.${token}.node.${subjectToken(node)}`,
    leaseSubject: (node) => `koi.${token}.lease.${subjectToken(node)}`,
    peerSubject: (node) => `koi.${token}.peer.${subjectToken(node)}`,
    streamSubjects: [`koi.${token}.own.*`, `koi.${token}.conf.*`, `koi.${token}.node.*`],
    leaseStreamSubjects: [`koi.${token}.lease.*`],
  };
}

/** Whether a stream's name is one that holds a cluster's events. */
export const isEventStream = (name: string): boolean => name.startsWith(streamPrefix) && !name.endsWith(leaseSuffix);

/** The subject an event belongs on. A revocation stands on the subject of the holder whose lease it ends. */
export function subjectOf(names: LogNames, event: KoiEvent): string {
  if (isOwnership(event)) return names.ownershipSubject(event.vr);
  if (isConfiguration(event)) return names.configurationSubject(event.vr);
  if (!isLease(event)) return names.nodeSubject(event.node);
  return names.leaseSubject(event.payload.type === 'leaseRevoked' ? event.payload.holder : event.node);
}

/** What a subject of the cluster is about; undefined where it is none of ours. */
export function parseSubject(
  names: LogNames,
  subject: string,
): { readonly kind: 'own' | 'conf' | 'node' | 'lease'; readonly name: string } | undefined {
  const [root, cluster, kind, token, ...rest] = subject.split('.');
  if (root !== 'koi' || cluster !== subjectToken(names.cluster) || token === undefined || rest.length > 0) return;
  if (kind !== 'own' && kind !== 'conf' && kind !== 'node' && kind !== 'lease') return;
  const name = nameOfToken(token);
  return name === undefined ? undefined : { kind, name };
}

export function subjectToken(name: string): string {
  const known = tokens.get(name);
  if (known !== undefined) return known;
  const token = escapeBytes(name, /[A-Za-z0-9-]/);
  if (tokens.size >= tokensMax) tokens.clear();
  tokens.set(name, token);
  return token;
}

/** Each event names its place, and the places are few. */
const tokensMax = 4096;
const tokens = new Map<string, string>();

/** As `subjectToken`, in capitals: stream names are conventionally so, and an escaped capital keeps names apart. */
function streamToken(name: string): string {
  return escapeBytes(name, /[a-z0-9-]/).replace(/(_[0-9A-F]{2})|[a-z]/g, (match) => match.toUpperCase());
}

function escapeBytes(name: string, plain: RegExp): string {
  let token = '';
  for (const byte of new TextEncoder().encode(name)) {
    const character = String.fromCharCode(byte);
    token += plain.test(character) ? character : `_${byte.toString(16).toUpperCase().padStart(2, '0')}`;
  }
  return token;
}

function nameOfToken(token: string): string | undefined {
  const bytes: number[] = [];
  for (let i = 0; i < token.length; i++) {
    if (token[i] !== '_') {
      bytes.push(token.charCodeAt(i));
      continue;
    }
    const hex = token.slice(i + 1, i + 3);
    if (!/^[0-9A-F]{2}$/.test(hex)) return undefined;
    bytes.push(Number.parseInt(hex, 16));
    i += 2;
  }
  return new TextDecoder().decode(Uint8Array.from(bytes));
}
