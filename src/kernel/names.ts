import { createHash } from 'node:crypto';

/** The names under which Koi puts things into the kernel: derived, never searched for, and recognised afterwards. */

/** IFA_PROTO of every address that Koi adds. */
export const ADDRESS_PROTO = 0xc4;

/** The protocol (rtm_protocol) of every route that Koi adds: nobody's in iproute2's rt_protos, where 196 is FRR's. */
export const ROUTE_PROTOCOL = 0x6b;

/** Link groups of Koi have this in their highest byte ('K'), so they are told from other tools' small numbers. */
const groupBase = 0x4b00_0000;

const hexOf = (...parts: readonly string[]): string => createHash('sha256').update(JSON.stringify(parts)).digest('hex');

/** `koi51.3fa9c1`: at most 13 of the 15 characters a name may have. The same VR has the same name on every node. */
export function virtualMacLinkName(cluster: string, vr: string, id: number): string {
  return `koi${id}.${hexOf(cluster, vr).slice(0, 6)}`;
}

/** Whose a vMAC link is: written as its alias. */
export interface LinkOwner {
  readonly cluster: string;
  readonly vr: string;
  readonly bootId: string;
}

const quoted = (part: string): string => part.replaceAll('%', '%25').replaceAll(':', '%3A');
const unquoted = (part: string): string => part.replaceAll('%3A', ':').replaceAll('%25', '%');

/** `koi:<cluster>:<vr>:<bootId>`, at most 255 bytes when cluster and VR have at most 100 each. */
export function aliasOf(owner: LinkOwner): string {
  return `koi:${quoted(owner.cluster)}:${quoted(owner.vr)}:${quoted(owner.bootId)}`;
}

/** The owner in an alias, or undefined when it is not one of ours. */
export function parseAlias(alias: string | undefined): LinkOwner | undefined {
  const [koi, cluster, vr, bootId, ...rest] = (alias ?? '').split(':');
  if (koi !== 'koi' || !cluster || !vr || !bootId || rest.length > 0) return undefined;
  return { cluster: unquoted(cluster), vr: unquoted(vr), bootId: unquoted(bootId) };
}

/** The group of all vMAC links of one node, between 0x4b000000 and 0x4bffffff. */
export function linkGroup(cluster: string, node: string): number {
  return groupBase + Number.parseInt(hexOf('group', cluster, node).slice(0, 6), 16);
}

export function isKoiGroup(group: number): boolean {
  return group >= groupBase && group <= groupBase + 0xff_ffff;
}

/** `koi_edge_r1_5b0c2f`: readable in `nft list tables`, and distinct where the readable part is not. */
export function nftTableName(cluster: string, node: string): string {
  const plain = (part: string) => part.replaceAll(/[^A-Za-z0-9]/g, '_').slice(0, 40);
  return `koi_${plain(cluster)}_${plain(node)}_${hexOf('nft', cluster, node).slice(0, 6)}`;
}
