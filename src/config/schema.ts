import { z } from 'zod';
import { canonicalAddress, parsePrefix, parseVirtualAddress } from './address.js';
import { defaultControlPath } from './control-path.js';
import { durationPattern, formatDuration, parseDurationMs } from './duration.js';
import { parseListen, serverUrlFault } from './listen.js';

/*
 * The shape of the configuration file, and nothing but the shape: rules that join several fields live in
 * cross-checks.ts, so that they also run on a file whose shape is wrong elsewhere. The description of a field is its
 * documentation in the JSON Schema and the remedy of its errors: one text for both.
 */

/** The longest path the kernel takes for a unix socket is 107 bytes; some room is left for a temporary name. */
export const socketPathBytesMax = 100;
export const virtualRoutersMax = 1_024;

interface DurationBounds {
  readonly minMs: number;
  readonly maxMs: number;
}

function duration(about: string, { minMs, maxMs }: DurationBounds) {
  return z
    .string()
    .regex(durationPattern, { error: ({ input }) => `'${String(input)}' is not a duration` })
    .transform((text, context) => {
      const valueMs = parseDurationMs(text);
      if (valueMs === undefined || valueMs < minMs || valueMs > maxMs) {
        context.addIssue({
          code: 'custom',
          message: `'${text}' is out of range: ${formatDuration(minMs)} to ${formatDuration(maxMs)}`,
        });
        return z.NEVER;
      }
      return valueMs;
    })
    .meta({
      description: `${about}: a duration such as 10ms, 1s or 2m, ${formatDuration(minMs)} to ${formatDuration(maxMs)}`,
    });
}

function named(about: string, pattern: RegExp, rule: string) {
  return z
    .string()
    .regex(pattern, { error: ({ input }) => `'${String(input)}' is not a name koi can use here` })
    .meta({ description: `${about}: ${rule}` });
}

const nameRule = 'letters, digits, "-", "_" and ".", at most 32, beginning with a letter or a digit';
const namePattern = /^[A-Za-z0-9][A-Za-z0-9._-]{0,31}$/;

function whole(about: string, min: number, max: number) {
  return z
    .int()
    .min(min)
    .max(max)
    .meta({ description: `${about}: a whole number from ${min} to ${max}` });
}

function oneOf<const T extends readonly [string, ...string[]]>(about: string, values: T) {
  return z.enum(values).meta({ description: `${about}: one of ${values.join(', ')}` });
}

function checkedString(about: string, fault: (text: string) => string | undefined) {
  return z
    .string()
    .check((context) => {
      const message = fault(context.value);
      if (message !== undefined) context.issues.push({ code: 'custom', message, input: context.value });
    })
    .meta({ description: about });
}

const size = (about: string) =>
  z
    .string()
    .regex(/^[1-9]\d{0,5}(MiB|GiB)$/, { error: ({ input }) => `'${String(input)}' is not a size` })
    .transform((text) => Number.parseInt(text, 10) * (text.endsWith('GiB') ? 2 ** 30 : 2 ** 20))
    .meta({ description: `${about}: a size such as 512MiB or 4GiB` });

const absolutePath = (about: string) =>
  checkedString(`${about}: an absolute path`, (text) =>
    /^\/[^\0]*$/.test(text) ? undefined : `'${text}' is not an absolute path`,
  );

/** The path of a secret's file. It is not repeated in an error: who took the field for the secret itself wrote that. */
const secretPath = (about: string) =>
  checkedString(`${about}: an absolute path`, (text) =>
    /^\/[^\0]*$/.test(text) ? undefined : 'what stands here is not an absolute path',
  );

const socketPath = checkedString(
  `path of the control socket: absolute, at most ${socketPathBytesMax} bytes`,
  (text) => {
    if (!text.startsWith('/')) return `'${text}' is not an absolute path`;
    const bytes = new TextEncoder().encode(text).length;
    return bytes > socketPathBytesMax
      ? `the path is ${bytes} bytes long; a unix socket takes ${socketPathBytesMax}`
      : undefined;
  },
);

const listen = (about: string) =>
  checkedString(`${about}: ADDRESS:PORT, such as 127.0.0.1:9650 or [::]:9650`, (text) =>
    parseListen(text) === undefined ? `'${text}' is not an address and a port` : undefined,
  );

const serverUrl = checkedString(
  'a NATS server: nats://host:4222 or tls://host:4222',
  (text) => serverUrlFault(text)?.message,
);

const hostAddress = (about: string) =>
  checkedString(`${about}: an IP address`, (text) =>
    canonicalAddress(text) === undefined ? `'${text}' is not an IP address` : undefined,
  );

const virtualAddress = checkedString(
  'a virtual IP with its prefix length: 10.77.0.254/24 or 2001:db8::254/64',
  (text) => {
    const parsed = parseVirtualAddress(text);
    return parsed.ok ? undefined : parsed.message;
  },
);

// IFNAMSIZ is 16 with the closing NUL; the kernel refuses '/', ':' and white space, and the two directory names.
const interfaceName = named(
  'an interface name',
  /^(?!\.{1,2}$)[^\s/:]{1,15}$/,
  'at most 15 characters, no "/", ":" or blank',
);

const interfaceSelector = z
  .union([
    interfaceName,
    z.strictObject({
      name: interfaceName.optional(),
      mac: z
        .string()
        .regex(/^[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){5}$/, {
          error: ({ input }) => `'${String(input)}' is not a MAC address`,
        })
        .optional()
        .meta({ description: 'the permanent MAC address of the interface: six bytes such as 52:54:00:12:34:56' }),
      path: z
        .string()
        .min(1)
        .optional()
        .meta({
          description:
            'where the device is plugged in: its ID_PATH as "udevadm info" prints it, such as pci-0000:03:00.0 or ' +
            'pci-0000:00:14.0-usb-0:2:1.0, or its path below /sys, such as /devices/pci0000:00/0000:00:03.0/virtio0; ' +
            'bridges, bonds, VLANs and veths have none: use their name',
        }),
      altname: z.string().min(1).max(127).optional().meta({ description: 'an alternative name of the interface' }),
    }),
  ])
  .meta({ description: 'the parent interface: a name, or exactly one of {name, mac, path, altname}' });

const virtualIp = z
  .union([
    virtualAddress,
    z.strictObject({
      address: virtualAddress,
      interface: interfaceSelector.optional(),
      prefixRoute: z
        .boolean()
        .default(false)
        .meta({ description: 'whether the address brings the route to its network with it: true or false' }),
      advertised: z
        .boolean()
        .default(true)
        .meta({ description: 'whether VRRP adverts name the address, as all nodes have to agree: true or false' }),
    }),
  ])
  .meta({ description: 'a virtual IP: 10.77.0.254/24, or {address, interface, prefixRoute, advertised}' });

const virtualRoute = z
  .strictObject({
    to: checkedString('a destination with its prefix length: 0.0.0.0/0 or 2001:db8::/32', (text) =>
      parsePrefix(text) === undefined ? `'${text}' is not a destination` : undefined,
    ),
    via: hostAddress('the next hop').optional(),
    source: hostAddress('which address packets of this host carry').optional(),
    table: whole('the routing table, default 254 (main)', 1, 0xffff_ffff).optional(),
    metric: whole('the lower wins', 0, 0xffff_ffff).optional(),
  })
  .meta({ description: 'a route that comes and goes with the virtual IPs: {to, via, source, table, metric}' });

const namespaceName = named(
  'the network namespace of the virtual IPs',
  /^(?!\.{1,2}$)[^\s/]{1,255}$/,
  'a name as in ip netns list',
);

const namespace = z
  .union([
    namespaceName,
    z.strictObject({
      name: namespaceName.optional(),
      pid: whole('a process in the namespace, such as the first one of a container', 1, 4_194_304).optional(),
      pidFile: absolutePath('the file that the number of such a process is written to').optional(),
    }),
  ])
  .meta({
    description: 'the network namespace of the virtual IPs: a name, or exactly one of {name, pid, pidFile}',
  });

const command = z
  .array(z.string().min(1))
  .min(1)
  .meta({ description: 'a command as a list: the program with an absolute path, then its arguments' });

const passwordFile = secretPath('a file that holds the password and nothing else, readable by koi only');

const log = z
  .strictObject({
    servers: z
      .array(serverUrl)
      .min(1)
      .max(32)
      .optional()
      .meta({ description: 'the NATS servers: a list of nats://host:4222' }),
    replicas: whole('how many NATS servers keep each event', 1, 5).default(1),
    credentials: secretPath('a NATS credentials file').optional(),
    user: z.string().min(1).optional().meta({ description: 'the NATS user, together with password or passwordFile' }),
    password: z
      .string()
      .min(1)
      .optional()
      .meta({ description: 'the NATS password; better from the environment or in passwordFile' }),
    passwordFile: passwordFile.optional(),
    token: z.string().min(1).optional().meta({ description: 'the NATS token; better from the environment' }),
    nkey: secretPath('a file that holds the NATS nkey seed').optional(),
    tls: z
      .strictObject({
        ca: absolutePath('the authority that signed the server certificate').optional(),
        cert: absolutePath('the client certificate').optional(),
        key: secretPath('the key of the client certificate').optional(),
      })
      .optional()
      .meta({ description: 'TLS to the NATS servers' }),
    embedded: z
      .strictObject({
        listen: listen('where the embedded nats-server listens'),
        storeDir: absolutePath('where the embedded nats-server keeps its streams'),
        maxStore: size('how much of the disk its streams may take, default 4GiB').optional(),
        binary: absolutePath('the nats-server to run; default: the one in PATH').optional(),
        cluster: z
          .strictObject({
            name: named('the name of the NATS cluster', namePattern, nameRule).default('koi'),
            listen: listen('where the embedded nats-server listens for routes'),
            routes: z
              .array(serverUrl)
              .max(32)
              .default([])
              .meta({ description: 'the other servers: a list of nats://host:6222' }),
          })
          .optional()
          .meta({ description: 'the cluster of the embedded nats-server' }),
      })
      .optional()
      .meta({ description: 'koi runs nats-server itself' }),
  })
  .meta({ description: 'the event log: a NATS server with JetStream' });

const user = named(
  'the user that runs it',
  /^[A-Za-z_][A-Za-z0-9_.-]{0,31}$/,
  'a user of this system; default: koi if there is one, else nobody (or whoever koi runs as, if that is not root)',
);

const route = checkedString('a destination with its prefix length: 0.0.0.0/0 or 2001:db8::/32', (text) =>
  parsePrefix(text) === undefined ? `'${text}' is not a destination` : undefined,
);

const track = z
  .strictObject({
    name: named('the name virtual routers refer to', namePattern, nameRule),
    interface: interfaceSelector.optional(),
    script: command.optional(),
    file: absolutePath('a file that holds a number').optional(),
    process: z.string().min(1).max(255).optional().meta({ description: 'the name of a program that must run' }),
    route: route.optional(),
    interval: duration('how often it is looked at, default 2s for a script, else 1s', {
      minMs: 100,
      maxMs: 3_600_000,
    }).optional(),
    timeout: duration('after which the script counts as failed, default 1s', { minMs: 10, maxMs: 600_000 }).optional(),
    fall: whole('failures in a row that count as down, default 2 for a script, else 1', 1, 100).optional(),
    rise: whole('successes in a row that count as up, default 2 for a script, else 1', 1, 100).optional(),
    user: user.optional(),
    quorum: whole('how many processes of that name must run, default 1', 1, 65_535).optional(),
    table: whole('the routing table, default 254 (main)', 1, 0xffff_ffff).optional(),
    weight: whole(
      'added to the priority, negative while down and positive while up; 0: down is a fault; a file: times its number',
      -254,
      254,
    ).default(-50),
    reverse: z.boolean().default(false).meta({ description: 'up counts as down and down as up: true or false' }),
  })
  .meta({ description: 'something to watch: an interface, a script, a file, a process or a route' });

const startDelay = duration('how long after its start a node takes nothing over', { minMs: 0, maxMs: 3_600_000 });

const arbitration = oneOf('who decides on a takeover', ['wire', 'log', 'strict']);
const onLogLoss = oneOf('what to do while the log cannot answer', ['wire', 'hold', 'release']);
const onPathSplit = oneOf('what to do when the master is alive but its adverts are lost', ['hold', 'take']);

/** One virtual router, before the rules that depend on its protocol. */
export const virtualRouterSchema = z
  .strictObject({
    name: named('the name of the virtual router', namePattern, nameRule),
    protocol: oneOf('the protocol on the LAN', ['vrrp2', 'vrrp3', 'carp']).default('vrrp3'),
    interface: interfaceSelector,
    id: whole('VRID (VRRP) or VHID (CARP)', 1, 255),
    priority: whole('VRRP priority; 255 only for the owner of the addresses', 1, 255).optional(),
    advertInterval: duration('how often the master sends an advert', { minMs: 10, maxMs: 255_000 }).optional(),
    preempt: z
      .strictObject({
        enabled: z.boolean().default(true).meta({ description: 'whether a better backup takes over: true or false' }),
        delay: duration('how long a better backup waits before it preempts', { minMs: 0, maxMs: 3_600_000 }).default(0),
      })
      .optional()
      .meta({ description: 'whether and when a better backup takes over' }),
    addresses: z
      .array(virtualIp)
      .min(1, { error: 'there is no virtual IP' })
      .max(255)
      .meta({ description: 'the virtual IPs: a list of at least one, such as [10.77.0.254/24]' }),
    checksum: oneOf('how VRRPv3 adverts over IPv4 are summed: auto follows the peers', [
      'auto',
      'rfc9568',
      'pseudo-header',
    ]).optional(),
    authHmac: z
      .strictObject({
        keyFile: secretPath('a file that holds a key of 32 to 64 bytes, or hex: and its digits'),
        keyId: whole('the id of the key', 1, 255).default(1),
        mode: oneOf('enforce refuses adverts without a signature, receive-only does not sign', [
          'enforce',
          'permissive',
          'receive-only',
        ]).default('enforce'),
        antiReplay: oneOf('time needs synchronised clocks, monotonic only growing counters', [
          'time',
          'monotonic',
        ]).default('time'),
      })
      .optional()
      .meta({ description: "VRRP adverts signed as keepalived's auth_hmac: {keyFile: FILE, keyId: 1}" }),
    carp: z
      .strictObject({
        flavor: oneOf('whose timers and way of demotion: ucarp goes with freebsd', ['freebsd', 'openbsd']).default(
          'freebsd',
        ),
        advbase: whole('seconds between adverts', 0, 254).default(1),
        advskew: whole('1/256 seconds added to advbase; the lower wins', 0, 254).default(0),
        demotion: whole('how far this node stands back', 0, 255).default(0),
        passwordFile: passwordFile.optional(),
      })
      .optional()
      .meta({ description: 'CARP takes advbase and advskew in place of priority and advertInterval' }),
    vrrp2: z
      .strictObject({
        auth: z
          .strictObject({ type: oneOf('VRRPv2 authentication', ['pass']), passwordFile })
          .optional()
          .meta({ description: 'VRRPv2 authentication: {type: pass, passwordFile: FILE}' }),
      })
      .optional()
      .meta({ description: 'options of VRRP version 2' }),
    unicast: z
      .strictObject({
        source: hostAddress('the address adverts are sent from').optional(),
        peers: z.array(hostAddress('a peer')).min(1).max(32).meta({ description: 'the peers: a list of IP addresses' }),
        minTtl: whole('the lowest TTL of an advert: 255 less the routers on the way', 1, 255).default(255),
      })
      .optional()
      .meta({ description: 'adverts to single peers in place of the multicast group' }),
    routes: z
      .array(virtualRoute)
      .max(64)
      .optional()
      .meta({ description: 'routes that come and go with the virtual IPs' }),
    accept: z
      .boolean()
      .default(true)
      .meta({ description: 'whether the virtual IPs take packets for this host itself: true or false' }),
    namespace: namespace.optional(),
    track: z.array(z.string().min(1)).max(64).optional().meta({ description: 'names of entries of track' }),
    startDelay: startDelay.optional(),
    syncGroup: named('the group whose members move together', namePattern, nameRule).optional(),
    hooks: z
      .strictObject({
        preAttach: command.optional(),
        postMaster: command.optional(),
        preRelease: command.optional(),
        postRelease: command.optional(),
        timeout: duration('after which a hook is killed; a planned release waits for preRelease 1.5s at most', {
          minMs: 10,
          maxMs: 300_000,
        }).default(5_000),
        user: user.optional(),
        onFailure: oneOf('what a failed or late preAttach does', ['continue', 'abort']).default('continue'),
      })
      .optional()
      .meta({ description: 'commands around a change of mastership' }),
    arbitration: arbitration.optional(),
    onLogLoss: onLogLoss.optional(),
    onPathSplit: onPathSplit.optional(),
  })
  .meta({ description: 'a virtual router: a virtual MAC with its virtual IPs' });

/** The configuration file of koi. Input: what the YAML says; output: durations in milliseconds, defaults filled in. */
export const configSchema = z
  .strictObject({
    cluster: named('the cluster, which separates event logs', namePattern, nameRule),
    node: named('this node, unique in the cluster', namePattern, nameRule).optional(),
    log,
    arbitration: arbitration.default('log'),
    onLogLoss: onLogLoss.default('wire'),
    onPathSplit: onPathSplit.default('hold'),
    lease: z
      .strictObject({
        ttl: duration('how long a node counts as alive without renewal', { minMs: 500, maxMs: 600_000 }).default(4_000),
        renew: duration('how often a node renews', { minMs: 100, maxMs: 300_000 }).default(1_000),
      })
      .optional()
      .meta({ description: "a node's proof of being alive in the log: {ttl: 4s, renew: 1s}" }),
    startDelay: startDelay.default(0),
    arbitrationTimeout: duration('how long a claim may stay unanswered', { minMs: 5, maxMs: 10_000 }).default(50),
    challengeTimeout: duration('how long the holder may take to answer', { minMs: 5, maxMs: 10_000 }).default(30),
    guard: z
      .strictObject({
        timeout: duration('silence of the dataplane after which the guard fences', {
          minMs: 100,
          maxMs: 10_000,
        }).default(300),
      })
      .optional()
      .meta({ description: 'the process that fences a dead or hung dataplane: {timeout: 300ms}' }),
    realtime: z
      .strictObject({
        priority: whole(
          'real-time priority of the thread that sends adverts, and one less for the event loop; 0: none; default: as started, and 1 for that thread',
          0,
          99,
        ).optional(),
        lockMemory: z
          .boolean()
          .default(false)
          .meta({ description: 'whether the memory of the dataplane is kept from being paged out: true or false' }),
      })
      .optional()
      .meta({ description: 'what keeps the dataplane on time on a busy machine: {priority: 1, lockMemory: true}' }),
    lanKeyFile: secretPath("the key that authenticates koi's own datagrams on the LAN").optional(),
    http: z
      .strictObject({
        listen: listen('where metrics, health and the status page are served').default('127.0.0.1:9650'),
      })
      .optional()
      .meta({ description: 'the HTTP server: {listen: "127.0.0.1:9650"}' }),
    control: socketPath.default(defaultControlPath),
    stateDir: absolutePath('where terms and the outbox survive a restart').default('/var/lib/koi'),
    track: z.array(track).max(256).optional().meta({ description: 'what virtual routers may watch: a list' }),
    virtualRouters: z
      .array(virtualRouterSchema)
      .min(1, { error: 'there is no virtual router' })
      .max(virtualRoutersMax)
      .meta({ description: `the virtual routers: a list of 1 to ${virtualRoutersMax}` }),
  })
  .meta({ title: 'koi configuration', description: 'The configuration file of koi' });

/** The file's content as it passed the schema. */
export type ConfigDocument = z.output<typeof configSchema>;
