/** What the detectors look for, and what an operator is told about it. */
export const episodeKinds = [
  'split_brain',
  'wrong_mac',
  'virtual_mac_leak',
  'duplicate_id',
  'advert_path_lost',
  'sysctl_drift',
  'foreign_manager',
] as const;
export type EpisodeKind = (typeof episodeKinds)[number];

/** What the agent sees without a dataplane. */
export const agentEpisodeKinds = ['configuration_differs', 'log_server_down'] as const;
type AgentEpisodeKind = (typeof agentEpisodeKinds)[number];

export interface Evidence {
  readonly key: string;
  readonly value: string;
}

/** One detector saw once what must not be. */
export interface Sighting {
  readonly kind: EpisodeKind;
  /** Undefined where it is about the node. */
  readonly vr: string | undefined;
  /** Who or what: sightings of one subject are one episode. */
  readonly subject: string;
  readonly evidence: readonly Evidence[];
}

/** The subject of two masters that the agent has found in the log. */
export const logSubject = 'log';

/** Whether it was the agent that saw it, which goes on seeing it when its dataplane is gone. */
export const isAgentEpisode = ({ kind, subject }: { readonly kind: string; readonly subject: string }): boolean =>
  agentEpisodeKinds.some((each) => each === kind) || (kind === 'split_brain' && subject === logSubject);

interface Words {
  /** Completes "gw: …". */
  readonly what: string;
  readonly remedy: string;
}

/** By kind; the agent's own episodes among them, so that `koi status` can explain every one that is in the log. */
const words: Readonly<Record<EpisodeKind | AgentEpisodeKind, Words>> = {
  split_brain: {
    what: 'two masters serve it at the same time',
    remedy: 'find out why the two do not hear each other: the LAN between their ports, multicast filters, or the log',
  },
  wrong_mac: {
    what: 'somebody binds a virtual IP to a MAC that is not its virtual MAC',
    remedy: 'take the address off the host with this MAC, or set arp_ignore=1 and arp_announce=2 there',
  },
  virtual_mac_leak: {
    what: 'frames with its virtual MAC come from a host that is not the master, and draw the traffic there',
    remedy:
      'find the switch port with show mac address-table; stop what holds the virtual MAC there, or the loop that echoes',
  },
  duplicate_id: {
    what: 'somebody else on this LAN uses its VRID or VHID, and so its virtual MAC',
    remedy: 'give one of the two another id; id and virtual MAC must be unique on a LAN',
  },
  advert_path_lost: {
    what: 'a node that is alive by the log is not heard on the LAN',
    remedy: 'look at multicast filters (IGMP and MLD snooping), port security and VLANs on the way between the two',
  },
  sysctl_drift: {
    what: 'a sysctl that virtual IPs rely on (ARP, rp_filter) was changed by somebody else',
    remedy: 'find who sets it (/etc/sysctl.d, networkd, NetworkManager, tuned) and leave it to koi',
  },
  foreign_manager: {
    what: 'another program changes the link or the addresses that koi has made',
    remedy:
      'tell it to leave the link alone: Unmanaged=yes for networkd, unmanaged-devices for NetworkManager; koi doctor names it',
  },
  configuration_differs: {
    what: 'this node has another configuration than the one in force',
    remedy: 'give all nodes the same, and koi reload; koi status says who differs in what',
  },
  log_server_down: {
    what: "this node's nats-server does not serve",
    remedy: 'see its log; koi starts it again by itself',
  },
};

/** What an episode means and what to do. A kind of a newer version is named and no more. */
export const explainEpisode = (kind: string): Words =>
  (words as Readonly<Record<string, Words>>)[kind] ?? { what: kind.replaceAll('_', ' '), remedy: 'see koi timeline' };

/** `mac=02:00:00:00:00:01 vip=192.0.2.1`. */
export const evidenceWords = (evidence: readonly Evidence[]): string =>
  evidence.map(({ key, value }) => `${key}=${value}`).join(' ');
