import { type DoctorVerdict, speaker } from './verdict.js';

/** What was found on the host, in one network namespace. */
export interface HostFacts {
  /** Koi's dataplane answers: what it needs it has, and what it sets is set. */
  readonly running: boolean;
  readonly capabilities: { readonly effective: readonly string[]; readonly bounding: readonly string[] };
  /** Of `all`, by key; undefined where it cannot be read. */
  readonly all: Readonly<Record<'arp_ignore' | 'arp_announce' | 'arp_filter' | 'rp_filter', number | undefined>>;
  /** Parents of the virtual routers that are there. */
  readonly parents: readonly {
    readonly name: string;
    readonly arpIgnore: number | undefined;
    readonly arpAnnounce: number | undefined;
    readonly rpFilter: number | undefined;
  }[];
  /** /proc/sys can be written: in containers it is often read-only. */
  readonly sysctlsWritable: boolean;
  /** `kube-ipvs0` is there: kube-proxy in mode ipvs, which puts service addresses on every node. */
  readonly ipvs: { readonly present: boolean; readonly holds: readonly string[] };
  readonly wantsIpv6: boolean;
  readonly ipv6Disabled: boolean;
  readonly clock: {
    /** How far the wall clock left the monotonic one while this command ran. */
    readonly driftMs: number;
    /** Seen by the daemon since its start; undefined where none runs. */
    readonly jumps: { readonly count: number; readonly lastMs: number } | undefined;
    /** The kernel has it that somebody keeps the clock right (adjtimex); undefined where that cannot be seen. */
    readonly synchronized: boolean | undefined;
  };
}

const { ok, warning, failed, unknown } = speaker('host');
const needed = ['CAP_NET_ADMIN', 'CAP_NET_RAW'] as const;
const jumpMs = 100;

export function judgeHost(facts: HostFacts): DoctorVerdict[] {
  return [
    capabilities(facts),
    ...sysctls(facts),
    rpFilter(facts),
    arpFilter(facts),
    ipvs(facts),
    ...ipv6(facts),
    clock(facts),
  ];
}

function capabilities({ capabilities: { effective, bounding }, running }: HostFacts): DoctorVerdict {
  const check = 'capabilities';
  if (running) return ok(check, 'the dataplane runs with what it needs');
  const barred = needed.filter((name) => !bounding.includes(name));
  if (barred.length > 0) {
    return failed(
      check,
      `nobody here may have ${barred.join(' and ')}: the container or the unit bars it`,
      'let it through: CapabilityBoundingSet= of the unit, or capabilities.add of the container',
    );
  }
  const missing = needed.filter((name) => !effective.includes(name));
  if (missing.length === 0) return ok(check, needed.join(', '));
  return failed(
    check,
    `${missing.join(' and ')} missing`,
    'run koi as root, or give its unit AmbientCapabilities=CAP_NET_ADMIN CAP_NET_RAW',
  );
}

/** What Koi sets itself is only wrong where it runs, or where it cannot. */
function sysctls({ all, parents, running, sysctlsWritable }: HostFacts): DoctorVerdict[] {
  const { arp_ignore: ignore = 0, arp_announce: announce = 0 } = all;
  const verdicts: DoctorVerdict[] = [];
  if (ignore > 1) {
    verdicts.push(
      failed(
        'arp_ignore',
        `net.ipv4.conf.all.arp_ignore is ${ignore}: a virtual IP would answer nobody`,
        'sysctl -w net.ipv4.conf.all.arp_ignore=1, and in /etc/sysctl.d',
      ),
    );
  }
  if (announce > 2) {
    verdicts.push(
      failed(
        'arp_announce',
        `net.ipv4.conf.all.arp_announce is ${announce}, which the kernel does not know`,
        'sysctl -w net.ipv4.conf.all.arp_announce=2',
      ),
    );
  }
  for (const { name, arpIgnore = 0, arpAnnounce = 0 } of parents) {
    const isIgnoring = Math.max(arpIgnore, ignore) >= 1;
    const isAnnouncing = Math.max(arpAnnounce, announce) === 2;
    if ((isIgnoring && isAnnouncing) || (!running && sysctlsWritable)) continue;
    const why = `${name} answers, or asks, for virtual IPs with its own MAC`;
    const set = `sysctl -w net.ipv4.conf.${name}.arp_ignore=1 net.ipv4.conf.${name}.arp_announce=2`;
    const remedy = running
      ? `${set}, and see who changes them`
      : `${set} as root; where /proc/sys is read-only even then, from outside`;
    if (!isIgnoring) verdicts.push(failed('arp_ignore', `${why}: arp_ignore is ${arpIgnore}`, remedy));
    if (!isAnnouncing) verdicts.push(failed('arp_announce', `${why}: arp_announce is ${arpAnnounce}`, remedy));
  }
  if (verdicts.length > 0) return verdicts;
  const detail = running ? 'in force on every parent' : 'koi sets what it needs when it attaches';
  return [ok('arp_sysctls', detail)];
}

function rpFilter({ all, parents }: HostFacts): DoctorVerdict {
  const check = 'rp_filter';
  if (all.rp_filter === undefined) return unknown(check, 'it cannot be read', 'mount /proc');
  if (all.rp_filter === 1) {
    return failed(
      check,
      'net.ipv4.conf.all.rp_filter is 1 (strict): what is sent to a virtual MAC comes in where no route leads back, and is dropped',
      'sysctl -w net.ipv4.conf.all.rp_filter=0 (or 2, loose), and in /etc/sysctl.d',
    );
  }
  const strict = parents.filter(({ rpFilter: own }) => own === 1 && all.rp_filter !== 2).map(({ name }) => name);
  if (strict.length === 0) return ok(check, 'not strict');
  return warning(
    check,
    `strict on ${strict.join(', ')}: asymmetric routes, as after a takeover, are dropped there`,
    strict.map((name) => `sysctl -w net.ipv4.conf.${name}.rp_filter=2`).join('; '),
  );
}

function arpFilter({ all }: HostFacts): DoctorVerdict {
  if ((all.arp_filter ?? 0) === 0) return ok('arp_filter', 'off');
  return failed(
    'arp_filter',
    'net.ipv4.conf.all.arp_filter is 1: the link of a virtual MAC has no route to the LAN, so it answers nobody',
    'sysctl -w net.ipv4.conf.all.arp_filter=0, and in /etc/sysctl.d',
  );
}

function ipvs({ ipvs: { present, holds }, all }: HostFacts): DoctorVerdict {
  const check = 'ipvs';
  if (!present) return ok(check, 'kube-proxy does not run in mode ipvs here');
  if (holds.length > 0) {
    return failed(
      check,
      `kube-proxy has ${holds.join(', ')} on kube-ipvs0: every node takes it for its own`,
      'leave virtual IPs out of services, or kube-proxy out of them: --ipvs-exclude-cidrs',
    );
  }
  if (all.arp_ignore === 1 && all.arp_announce === 2) return ok(check, 'kube-proxy with strictARP');
  return failed(
    check,
    'kube-proxy runs in mode ipvs without strictARP: every node answers ARP for the addresses on kube-ipvs0',
    'set ipvs.strictARP: true in the configuration of kube-proxy and restart it',
  );
}

function ipv6({ wantsIpv6, ipv6Disabled }: HostFacts): DoctorVerdict[] {
  if (!wantsIpv6) return [];
  if (!ipv6Disabled) return [ok('ipv6', 'on')];
  const remedy = 'sysctl -w net.ipv6.conf.all.disable_ipv6=0';
  return [failed('ipv6', 'IPv6 is disabled, and there are virtual IPv6 addresses', remedy)];
}

function clock({ clock: { driftMs, jumps, synchronized } }: HostFacts): DoctorVerdict {
  const check = 'clock';
  const remedy = 'keep it with chrony or systemd-timesyncd, which correct it without steps; see that one program does';
  if (Math.abs(driftMs) >= jumpMs) {
    return failed(check, `the wall clock jumped by ${driftMs.toFixed(0)} ms while this was looked at`, remedy);
  }
  if (jumps !== undefined && jumps.count > 0) {
    const times = jumps.count === 1 ? 'once' : `${jumps.count} times`;
    const detail = `the wall clock jumped ${times} since koi started, last by ${jumps.lastMs.toFixed(0)} ms`;
    return failed(check, detail, remedy);
  }
  if (synchronized === false) {
    return warning(check, 'nobody keeps the clock right: the log tells times that mean nothing elsewhere', remedy);
  }
  return ok(check, synchronized === true ? 'kept right, and it did not jump' : 'it did not jump');
}
