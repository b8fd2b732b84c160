import type { AddressRefusal, PrefixRefusal } from './address.js';
import type { AuthHmacRefusal } from './auth-hmac.js';
import type { CarpRefusal } from './carp.js';
import type { FrameRefusal } from './demux.js';
import type { LanDatagramRefusal } from './lan-datagram.js';
import type { MacRefusal } from './mac.js';
import type { VrrpRefusal } from './vrrp.js';

/**
 * Every reason for which something from the wire is refused, in one place: the oracle of tests, the label of metrics,
 * the word in the log, and the sentence an operator reads.
 */

/** An advert that is well formed, but not for us. Configuration decides these, so their judges live elsewhere. */
export type AdvertPolicyRefusal =
  | 'bad_ttl'
  | 'unknown_id'
  | 'version_mismatch'
  | 'protocol_mismatch'
  | 'interval_mismatch'
  | 'address_mismatch'
  | 'auth_mismatch'
  | 'bad_digest'
  | 'unknown_key'
  | 'missing_trailer'
  | 'stale'
  | 'replayed'
  | 'own_advert'
  | 'unknown_peer'
  | 'wrong_destination'
  | 'owner_conflict';

/** A notice that is well formed, but not to be believed. */
export type NoticePolicyRefusal = 'notice_no_key' | 'notice_other_scope' | 'notice_same_node' | 'notice_replayed';
export type NoticeRefusal = LanDatagramRefusal | NoticePolicyRefusal;

export type AdvertRefusal = VrrpRefusal | CarpRefusal | AuthHmacRefusal | AdvertPolicyRefusal;
export type TextRefusal = MacRefusal | AddressRefusal | PrefixRefusal;
export type RefusalReason = AdvertRefusal | FrameRefusal | NoticeRefusal | TextRefusal;

const adverts: Readonly<Record<AdvertRefusal, string>> = {
  truncated: 'the advert is shorter than its own header says; the sender is broken or the frame was cut on its way',
  bad_version: 'the version is none that exists for this address family: VRRP 2 and 3 over IPv4, 3 over IPv6, CARP 2',
  bad_type: 'it is no advertisement, the only type there is',
  length_mismatch:
    'it is longer than its number of addresses allows; the sender uses an extension that is not known here',
  bad_trailer: 'what follows the advert is no auth_hmac trailer of the known scheme',
  bad_checksum:
    'the checksum holds neither with nor without pseudo-header; the advert was damaged, or its sender is broken',
  zero_id: 'the VRID or VHID is 0, which is none',
  zero_addresses: 'it carries no address; give the virtual router at the sender at least one',
  zero_interval: 'its interval is 0, which would make every backup take over at once',
  unsupported_auth: 'it is authenticated in a way not supported here (IPsec AH, or unknown); use simple text or none',
  bad_ttl:
    'its hop limit is not 255, so it did not come from this link (or is below minTtl, where unicast peers are routed to)',
  unknown_id: 'no virtual router here has this VRID or VHID; someone else on this link uses it',
  version_mismatch: 'the sender speaks another version of VRRP; set both sides to the same one',
  protocol_mismatch: 'VRRP and CARP use the same id on this link, and so the same virtual MAC; give one another id',
  interval_mismatch:
    'the interval is not the one configured here, which VRRPv2 demands; set both sides to the same one',
  address_mismatch: 'the list of addresses is not the one configured here; set both sides to the same one',
  auth_mismatch: 'authentication type or password are not those configured here; set both sides to the same',
  bad_digest: 'the digest does not hold: the keys differ, or the lists of addresses do, or someone forges adverts',
  unknown_key: 'it is signed with a key id that is not configured here',
  missing_trailer: 'it is not signed, and the configuration demands an auth_hmac trailer',
  stale: 'its time stamp is outside the window; compare the clocks of both sides',
  replayed: 'its counter was seen before: someone sends recorded adverts, or the sender lost its counter',
  own_advert: 'it is our own, come back: there is a loop in the network, or a switch that echoes',
  unknown_peer: 'its source is none of the configured unicast peers',
  wrong_destination: 'it went to the group where unicast is configured, or the other way round',
  owner_conflict: 'another router claims priority 255, to own the addresses, and so does this one',
};

const frames: Readonly<Record<FrameRefusal, string>> = {
  frame_truncated: 'the frame is shorter than an Ethernet header',
  vlan_tagged: 'the frame carries a VLAN tag; attach to the VLAN interface, not to its parent',
  length_instead_of_ether_type: 'the frame is 802.2, not Ethernet II',
  ip_truncated: 'the IP packet is longer than the frame that carries it',
  ip_bad_version: 'the IP version is not that of the EtherType',
  ip_bad_header_length: 'the IPv4 header claims fewer than 20 octets',
  ip_bad_length: 'the IPv4 packet claims to be shorter than its header',
  ip_fragment: 'the IP packet is a fragment; adverts are never fragmented',
  ip_bad_checksum: 'the checksum of the IPv4 header does not hold; the frame was damaged on its way',
  udp_bad_length: 'the length of the UDP datagram is not that of the packet around it',
  arp_truncated: 'the ARP packet is shorter than 28 octets',
  arp_not_ipv4_over_ethernet: 'the ARP packet is not about IPv4 over Ethernet',
  ndp_truncated: 'the neighbour message is shorter than 24 octets',
  ndp_other_type: 'the ICMPv6 message is neither neighbour solicitation nor advertisement',
  ndp_bad_code: 'the code of the neighbour message is not 0',
  ndp_bad_checksum: 'the checksum of the neighbour message does not hold; it was damaged on its way',
  ndp_bad_option: 'an option of the neighbour message has length 0 or reaches beyond its end',
  ndp_multicast_target: 'the neighbour message is about a multicast address, which has no neighbour',
};

const notices: Readonly<Record<NoticeRefusal, string>> = {
  notice_truncated: 'the datagram is shorter than 88 octets',
  notice_foreign: 'someone else sends to UDP port 28112 on this link',
  notice_bad_version: 'the node that sent it runs an incompatible version of Koi',
  notice_bad_length: 'the datagram is longer than 88 octets',
  notice_bad_digest: 'the digest does not hold: lanKeyFile differs between the nodes, or someone forges notices',
  notice_bad_field: 'it is signed by one of ours, yet a field is impossible: a fault in Koi',
  notice_no_key: 'this node cannot tell whether it is genuine; name the key of the other nodes in lanKeyFile',
  notice_other_scope:
    'it is signed with our key, and about a virtual router of another name or cluster with the same id',
  notice_same_node: 'another machine of this cluster runs under the name of this node; give each its own `node`',
  notice_replayed:
    'its counter is not above the last one: someone sends recorded notices, or the sender lost its state',
};

const texts: Readonly<Record<TextRefusal, string>> = {
  bad_mac: 'not a MAC address; write six octets in hexadecimal, such as 02:00:5e:10:00:01',
  bad_address: 'not an IP address; write it in full, without leading zeros, such as 192.0.2.1 or 2001:db8::1',
  address_has_zone: 'an IP address with a zone; leave out the % and what follows, the interface is named elsewhere',
  missing_prefix_length: 'an address without prefix length; append one, such as /24',
  bad_prefix_length: 'not a prefix length; write 0 to 32 for IPv4, 0 to 128 for IPv6',
};

/** Every reason to refuse an advert, for metrics that are there before the first one is counted. */
export const advertRefusals = Object.keys(adverts) as readonly AdvertRefusal[];
/** Every reason to refuse a frame before any protocol has seen it, and ARP and NDP. */
export const frameRefusals = Object.keys(frames) as readonly FrameRefusal[];
/** Every reason to refuse a notice, beyond those of the packet around it, which it shares with adverts. */
export const noticeRefusals = Object.keys(notices) as readonly NoticeRefusal[];

const sentences: Readonly<Record<RefusalReason, string>> = { ...adverts, ...frames, ...notices, ...texts };

/** What the reason means and, where there is something to do, what: a clause for an operator, without capital or stop. */
export function explainRefusal(reason: RefusalReason): string {
  return sentences[reason];
}
