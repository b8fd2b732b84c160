import { type MacAddress, readMac } from '../wire/mac.js';
import { attributeText, forEachAttribute, headerBytes, type Message } from './netlink-message.js';

/** if_link.h and rtnetlink.h numbers that both the reading and the changing of links need. */
export const rtm = { newLink: 16, delLink: 17, getLink: 18, setLink: 19 } as const;
export const ifla = {
  address: 1,
  ifname: 3,
  mtu: 4,
  link: 5,
  master: 10,
  operstate: 16,
  linkInfo: 18,
  alias: 20,
  stats64: 23,
  afSpec: 26,
  group: 27,
  netNsFd: 28,
  extMask: 29,
  carrier: 33,
  linkNetnsId: 37,
  propList: 52,
  altIfname: 53,
  permAddress: 54,
} as const;
export const infoKind = 1;
export const infoData = 2;
export const macvlanModeAttribute = 1;
export const inetConf = 1;
export const inet6AddrGenMode = 8;
export const afInet = 2;
export const afInet6 = 10;

/** Index of each per-interface IPv4 setting in struct ipv4_devconf (linux/ip.h). */
export const ipv4ConfIndex = {
  rpFilter: 8,
  arpFilter: 13,
  arpAnnounce: 18,
  arpIgnore: 19,
  arpNotify: 22,
  acceptLocal: 23,
} as const;

/** The per-interface values of net.ipv4.conf; what is in force also depends on `all` (ip-sysctl). */
export type Ipv4Conf = { readonly [K in keyof typeof ipv4ConfIndex]: number };

export interface LinkFlags {
  /** IFF_UP: set up by the administrator. */
  readonly up: boolean;
  /** IFF_LOWER_UP: carrier, and of a stacked link its parent's. */
  readonly lowerUp: boolean;
  /** IFF_RUNNING: operational (RFC 2863 up or unknown). */
  readonly running: boolean;
  readonly loopback: boolean;
  readonly noArp: boolean;
  readonly promiscuous: boolean;
}

const operstates = ['unknown', 'notPresent', 'down', 'lowerLayerDown', 'testing', 'dormant', 'up'] as const;
/** RFC 2863 operational state (linux/if.h). A dummy or a plain macvlan may stay `unknown`, which counts as usable. */
export type OperationalState = (typeof operstates)[number];

export const macvlanModes = { private: 1, vepa: 2, bridge: 4, passthru: 8, source: 16 } as const;
export type MacvlanMode = keyof typeof macvlanModes;

const addrGenModes = ['eui64', 'none', 'stablePrivacy', 'random'] as const;
export type AddrGenMode = (typeof addrGenModes)[number];

/** An interface, as the kernel describes it in RTM_NEWLINK. What the kernel did not say is undefined. */
export interface Link {
  readonly ifindex: number;
  readonly name: string;
  /** IFLA_INFO_KIND: `macvlan`, `veth`, `vlan`, `bond` …; undefined for hardware. */
  readonly kind: string | undefined;
  readonly mac: MacAddress | undefined;
  /** The address burnt into the card; undefined for virtual links. */
  readonly permanentMac: MacAddress | undefined;
  readonly altNames: readonly string[];
  readonly flags: LinkFlags;
  readonly operstate: OperationalState;
  /** Meaningful only while the link is up: a link that is down may claim one. */
  readonly carrier: boolean;
  /** IFLA_LINK: a macvlan's or VLAN's parent, a veth's peer. Of another namespace where `linkNetnsId` is there. */
  readonly parentIfindex: number | undefined;
  readonly linkNetnsId: number | undefined;
  readonly alias: string | undefined;
  readonly group: number;
  readonly mtu: number;
  /** The bridge or bond it is a port of. */
  readonly masterIfindex: number | undefined;
  readonly macvlanMode: MacvlanMode | undefined;
  /** How IPv6 makes the link-local address; undefined without IPv6. */
  readonly addrGenMode: AddrGenMode | undefined;
  readonly ipv4Conf: Ipv4Conf | undefined;
  /** ARPHRD_*: 1 is Ethernet. */
  readonly hardwareType: number;
}

function macAt(bytes: Uint8Array, start: number, length: number): MacAddress | undefined {
  return length === 6 ? readMac(bytes, start) : undefined;
}

function modeOf(value: number): MacvlanMode | undefined {
  for (const [name, number] of Object.entries(macvlanModes)) if (number === value) return name as MacvlanMode;
  return undefined;
}

/**
 * Reads RTM_NEWLINK or RTM_DELLINK. Undefined for other messages, and for those of another family: a bridge reports
 * its ports with AF_BRIDGE, and its RTM_DELLINK only means that a port left the bridge.
 */
export function parseLink(message: Message): Link | undefined {
  const { bytes, view, start, end } = message;
  if (message.type !== rtm.newLink && message.type !== rtm.delLink) return undefined;
  if (end - start < headerBytes + 16 || view.getUint8(start + headerBytes) !== 0) return undefined;
  const flags = view.getUint32(start + headerBytes + 8, true);
  let name = '';
  let kind: string | undefined;
  let mac: MacAddress | undefined;
  let permanentMac: MacAddress | undefined;
  const altNames: string[] = [];
  let operstate: OperationalState = 'unknown';
  let carrier = false;
  let parentIfindex: number | undefined;
  let linkNetnsId: number | undefined;
  let alias: string | undefined;
  let group = 0;
  let mtu = 0;
  let masterIfindex: number | undefined;
  let macvlanMode: MacvlanMode | undefined;
  let addrGenMode: AddrGenMode | undefined;
  let ipv4Conf: Ipv4Conf | undefined;

  forEachAttribute(view, start + headerBytes + 16, end, (type, at, length) => {
    switch (type) {
      case ifla.ifname:
        name = attributeText(bytes, at, length);
        break;
      case ifla.address:
        mac = macAt(bytes, at, length);
        break;
      case ifla.permAddress:
        permanentMac = macAt(bytes, at, length);
        break;
      case ifla.operstate:
        operstate = operstates[view.getUint8(at)] ?? 'unknown';
        break;
      case ifla.carrier:
        carrier = view.getUint8(at) === 1;
        break;
      case ifla.link:
        parentIfindex = view.getInt32(at, true);
        break;
      case ifla.linkNetnsId:
        linkNetnsId = view.getInt32(at, true);
        break;
      case ifla.alias:
        alias = attributeText(bytes, at, length);
        break;
      case ifla.group:
        group = view.getUint32(at, true);
        break;
      case ifla.mtu:
        mtu = view.getUint32(at, true);
        break;
      case ifla.master:
        masterIfindex = view.getInt32(at, true);
        break;
      case ifla.propList:
        forEachAttribute(view, at, at + length, (property, from, size) => {
          if (property === ifla.altIfname) altNames.push(attributeText(bytes, from, size));
        });
        break;
      case ifla.linkInfo:
        forEachAttribute(view, at, at + length, (property, from, size) => {
          if (property === infoKind) kind = attributeText(bytes, from, size);
          if (property !== infoData || kind !== 'macvlan') return;
          forEachAttribute(view, from, from + size, (inner, value) => {
            if (inner === macvlanModeAttribute) macvlanMode = modeOf(view.getUint32(value, true));
          });
        });
        break;
      case ifla.afSpec:
        forEachAttribute(view, at, at + length, (family, from, size) => {
          forEachAttribute(view, from, from + size, (property, value, bytesLong) => {
            if (family === afInet && property === inetConf) ipv4Conf = readIpv4Conf(view, value, bytesLong);
            if (family === afInet6 && property === inet6AddrGenMode) addrGenMode = addrGenModes[view.getUint8(value)];
          });
        });
        break;
    }
  });

  return {
    ifindex: view.getInt32(start + headerBytes + 4, true),
    name,
    kind,
    mac,
    permanentMac,
    altNames,
    flags: {
      up: (flags & 0x1) !== 0,
      loopback: (flags & 0x8) !== 0,
      running: (flags & 0x40) !== 0,
      noArp: (flags & 0x80) !== 0,
      promiscuous: (flags & 0x100) !== 0,
      lowerUp: (flags & 0x10000) !== 0,
    },
    operstate,
    carrier,
    parentIfindex,
    linkNetnsId,
    alias,
    group,
    mtu,
    masterIfindex,
    macvlanMode,
    addrGenMode,
    ipv4Conf,
    hardwareType: view.getUint16(start + headerBytes + 2, true),
  };
}

/** Of RTM_NEWLINK the interface and its IPv4 settings alone; undefined as in {@link parseLink}, or where it has none. */
export function parseIpv4Conf(message: Message): readonly [ifindex: number, conf: Ipv4Conf] | undefined {
  const { view, start, end } = message;
  if (message.type !== rtm.newLink || end - start < headerBytes + 16 || view.getUint8(start + headerBytes) !== 0) {
    return undefined;
  }
  let conf: Ipv4Conf | undefined;
  forEachAttribute(view, start + headerBytes + 16, end, (type, at, length) => {
    if (type !== ifla.afSpec) return;
    forEachAttribute(view, at, at + length, (family, from, size) => {
      if (family !== afInet) return;
      forEachAttribute(view, from, from + size, (property, value, bytesLong) => {
        if (property === inetConf) conf = readIpv4Conf(view, value, bytesLong);
      });
    });
  });
  return conf && [view.getInt32(start + headerBytes + 4, true), conf];
}

/** IFLA_INET_CONF as the kernel sends it: u32 values in the order of their index, which counts from 1. */
function readIpv4Conf(view: DataView, at: number, length: number): Ipv4Conf {
  const value = (index: number) => (index * 4 <= length ? view.getInt32(at + (index - 1) * 4, true) : 0);
  return {
    rpFilter: value(ipv4ConfIndex.rpFilter),
    arpFilter: value(ipv4ConfIndex.arpFilter),
    arpAnnounce: value(ipv4ConfIndex.arpAnnounce),
    arpIgnore: value(ipv4ConfIndex.arpIgnore),
    arpNotify: value(ipv4ConfIndex.arpNotify),
    acceptLocal: value(ipv4ConfIndex.acceptLocal),
  };
}

/** True when both say the same in every field that {@link Link} has. */
export function sameLink(a: Link, b: Link): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}
