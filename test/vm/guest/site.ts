import { mkdirSync, writeFileSync } from 'node:fs';
import { judgeArp, parseFrame, type RecordedFrame } from '../../lab/frames.js';
import { startLineTool } from '../../lab/tool.js';
import { waitUntil } from '../../lab/wait.js';
import { attempt, sh } from './shell.js';

/**
 * The machine is the router r1: two cables, `eth0` and `eth1`, to one switch in a namespace of its own, where a client
 * sits in VLAN 100. Debian's ifupdown makes an active-backup bond of the two, and VLAN 100 on it.
 */
export const vip = '10.77.0.254';
export const virtualMac = '00:00:5e:00:01:33';
export const parent = 'bond0.100';
const client = '10.77.0.10';

const interfaces = `
auto lo
iface lo inet loopback

auto eth0
iface eth0 inet manual
  bond-master bond0

auto eth1
iface eth1 inet manual
  bond-master bond0

auto bond0
iface bond0 inet manual
  bond-slaves none
  bond-mode active-backup
  bond-miimon 100

auto bond0.100
iface bond0.100 inet static
  address 10.77.0.1/24
`;

/** Builds switch, cables and client; the router's own side is ifupdown's work. */
export function buildSite(): void {
  sh('ip netns add switch && ip netns add client');
  sh('ip -n switch link add br0 type bridge forward_delay 0 && ip -n switch link set br0 up');
  for (const [cable, port] of [
    ['eth0', 'p0'],
    ['eth1', 'p1'],
  ]) {
    sh(`ip link add ${cable} type veth peer name ${port} netns switch`);
    sh(`ip -n switch link set ${port} master br0 up`);
  }
  sh('ip -n client link add c0 type veth peer name pc netns switch && ip -n switch link set pc master br0 up');
  sh('ip -n client link set c0 up && ip -n client link add link c0 name lan type vlan id 100');
  sh(`ip -n client addr add ${client}/24 dev lan && ip -n client link set lan up`);
  mkdirSync('/etc/network', { recursive: true });
  writeFileSync('/etc/network/interfaces', interfaces);
}

/** Takes away what ifupdown made, whatever state it is in. */
export function clearBond(): void {
  attempt('ifdown -a --force --exclude=lo');
  attempt(`ip link del ${parent}`);
  attempt('ip link del bond0');
  for (const cable of ['eth0', 'eth1']) attempt(`ip link set ${cable} down`);
}

/** The client resolves anew and asks once. */
export function clientReaches(): boolean {
  attempt('ip -n client neigh flush dev lan');
  return attempt(`ip netns exec client busybox ping -c 1 -W 1 ${vip}`).ok;
}

/** The MAC that the client has for the virtual IP. */
export function clientKnows(): string | undefined {
  return /lladdr (\S+)/.exec(sh(`ip -n client neigh show ${vip} dev lan`))?.[1];
}

/** Why the machine is not as it should be while it is the master, or undefined. */
export function wrongState(): string | undefined {
  const links = sh('ip -d -o link show type macvlan').trim().split('\n').filter(Boolean);
  if (links.length !== 1) return `there are ${links.length} virtual-MAC links, not one`;
  const [link = ''] = links;
  if (!link.includes(`@${parent}:`)) return `the virtual-MAC link is not on ${parent}: ${link}`;
  if (!link.includes(virtualMac)) return `the link has another MAC: ${link}`;
  const holders = sh(`ip -o addr show to ${vip}`).trim().split('\n').filter(Boolean);
  if (holders.length !== 1) return `the virtual IP stands ${holders.length} times`;
  const slaves = sh('cat /sys/class/net/bond0/bonding/slaves').trim().split(/\s+/).sort().join(' ');
  if (slaves !== 'eth0 eth1') return `bond0 has ${slaves === '' ? 'no slave' : slaves}`;
  return clientKnows() === virtualMac ? undefined : `the client has ${clientKnows() ?? 'nothing'} for the virtual IP`;
}

/** Watches the client's wire in VLAN 100, all the time. */
export class Wire {
  readonly #frames: RecordedFrame[] = [];
  #isReady = false;
  #dropped = 0;
  readonly #failure: () => string | undefined;

  constructor() {
    const tool = startLineTool('koi-record', ['client/lan/client'], (line) => {
      const frame = parseFrame(line);
      if (frame !== undefined) this.#frames.push(frame);
      else if (line.endsWith(' - - ready')) this.#isReady = true;
      else this.#dropped += Number(/ - dropped (\d+)$/.exec(line)?.[1] ?? 0);
    });
    this.#failure = () => tool.failure();
  }

  async ready(): Promise<void> {
    await waitUntil('the recorder', () => this.#failure() ?? (this.#isReady ? undefined : 'not ready'), {
      deadlineMs: 20_000,
    });
  }

  /** What broke the first promise since it was last asked, and whether anything was missed. */
  takeProblems(): string[] {
    const frames = this.#frames.splice(0);
    const wrong = frames.flatMap((frame) => {
      if (frame.kind !== 'arp') return [];
      const reason = judgeArp(frame, vip, virtualMac);
      return reason === undefined ? [] : [`wrong MAC (${reason}): ${JSON.stringify(frame)}`];
    });
    const missed = this.#failure() ?? (this.#dropped > 0 ? `the recorder missed ${this.#dropped} frames` : undefined);
    return missed === undefined ? wrong : [...wrong, missed];
  }
}
