/**
 * The protocol between the dataplane and the guard, version 2: the one place that describes it. The numbers are those of
 * `src/kernel/native/guard-protocol.h`.
 *
 * All integers are little-endian. Commands go down the pipe at the guard's fd 3, reports come up the one at its fd 4.
 *
 * ```text
 * every frame    0 u32 length of the whole frame   4 u8 type   5 zero   8 u32 sequence   12 payload
 *
 * 1 HELLO        0 u32 version   4 u32 pid of the dataplane   8 u32 timeoutMs   12 u32 group of the vMAC links, 0 = none
 * 2 PUT          0 u16 slot   2 u16 addresses   4 u16 adverts   6 u8 name length   7 u8 namespace length   8 name, namespace, then
 *     address    0 u32 ifindex   4 u8 family (4, 6)   5 u8 prefix length   6 zero   8 16 bytes, IPv4 in the first four
 *     advert     0 u32 ifindex   4 u16 length   6 u16 1 = only its IP packet, routed   8 the whole Ethernet frame
 * 3 DROP         0 u16 slot   2 zero
 * 4 HEARTBEAT
 * 5 DEADLINE     0 u16 slot   2 u16 1 = set, 0 = clear   4 u64 CLOCK_MONOTONIC in ns
 * 6 BYE          the guard exits 0 and touches nothing
 *
 * 129 ACK        sequence of the command; 0 u8 status   1 zero   (every command but BYE is acknowledged)
 * 130 REPORT     sequence 0; one JSON object: ready, unusable, fenced, lease_ended or kept_off
 * ```
 *
 * PUT replaces what the slot held and keeps its deadline, unless that has come: then nothing of the slot stays, whoever adds
 * it, until it is dropped or put again, and it takes no other deadline before. The slot is the dataplane's number for a virtual router; the name
 * is for the guard's log line alone. The links of adverts are in the guard's own namespace in any case.
 */
import { z } from 'zod';

export const guardVersion = 2;

/** Compiled into the guard: what it can hold, and the longest frame of the protocol. */
export const guardLimits = {
  frameBytes: 262_144,
  reportBytes: 1024,
  virtualRouters: 1024,
  addresses: 4096,
  adverts: 4096,
  advertBytes: 512,
  nameBytes: 63,
  netnsBytes: 255,
} as const;

export const guardCommands = { hello: 1, put: 2, drop: 3, heartbeat: 4, deadline: 5, bye: 6 } as const;
export const guardReports = { ack: 129, report: 130 } as const;

/** Why the guard refuses a command, by the status of its ACK. A refused command changed nothing. */
export const guardStatuses = [
  'ok',
  'malformed',
  'wrong_version',
  'wrong_parent',
  'not_greeted',
  'unknown_command',
  'unknown_vr',
  'too_many_addresses',
  'too_many_adverts',
  'advert_too_long',
  'namespace_unusable',
  'lease_ended',
] as const;
export type GuardStatus = (typeof guardStatuses)[number];

/** An address the guard may take off: exactly this one, on this link. `bytes` has 4 or 16 of them. */
export interface GuardAddress {
  readonly ifindex: number;
  readonly family: 4 | 6;
  readonly prefixLength: number;
  readonly bytes: Uint8Array;
}

/** A whole Ethernet frame of priority 0, sent as it is on the link `ifindex`. */
export interface GuardAdvert {
  readonly ifindex: number;
  readonly frame: Uint8Array;
  /** Not as it is: only the IP packet in it, to where that is addressed, by the kernel's routes on this link. */
  readonly routed?: boolean;
}

export type GuardCommand =
  | { readonly type: 'hello'; readonly pid: number; readonly timeoutMs: number; readonly group: number }
  | {
      readonly type: 'put';
      readonly slot: number;
      readonly name: string;
      /** The named network namespace of the addresses; undefined: the guard's own. */
      readonly namespace?: string | undefined;
      readonly addresses: readonly GuardAddress[];
      readonly adverts: readonly GuardAdvert[];
    }
  | { readonly type: 'drop'; readonly slot: number }
  | { readonly type: 'heartbeat' }
  | { readonly type: 'deadline'; readonly slot: number; readonly monotonicNs: bigint | undefined }
  | { readonly type: 'bye' };

const headerBytes = 12;
const addressBytes = 24;
const advertHeaderBytes = 8;

/** Encodes a command. The caller keeps to `guardLimits`; the guard refuses what does not. */
export function encodeCommand(command: GuardCommand, sequence: number): Uint8Array {
  switch (command.type) {
    case 'hello': {
      const { frame, view } = startFrame(guardCommands.hello, sequence, 16);
      view.setUint32(0, guardVersion, true);
      view.setUint32(4, command.pid, true);
      view.setUint32(8, command.timeoutMs, true);
      view.setUint32(12, command.group, true);
      return frame;
    }
    case 'put':
      return encodePut(command, sequence);
    case 'drop': {
      const { frame, view } = startFrame(guardCommands.drop, sequence, 4);
      view.setUint16(0, command.slot, true);
      return frame;
    }
    case 'heartbeat':
      return startFrame(guardCommands.heartbeat, sequence, 0).frame;
    case 'deadline': {
      const { frame, view } = startFrame(guardCommands.deadline, sequence, 12);
      view.setUint16(0, command.slot, true);
      view.setUint16(2, command.monotonicNs === undefined ? 0 : 1, true);
      view.setBigUint64(4, command.monotonicNs ?? 0n, true);
      return frame;
    }
    case 'bye':
      return startFrame(guardCommands.bye, sequence, 0).frame;
  }
}

function startFrame(type: number, sequence: number, payloadBytes: number) {
  const frame = new Uint8Array(headerBytes + payloadBytes);
  const header = new DataView(frame.buffer);
  header.setUint32(0, frame.length, true);
  header.setUint8(4, type);
  header.setUint32(8, sequence, true);
  return { frame, view: new DataView(frame.buffer, headerBytes) };
}

function encodePut(command: Extract<GuardCommand, { type: 'put' }>, sequence: number): Uint8Array {
  const name = new TextEncoder().encode(command.name).subarray(0, guardLimits.nameBytes);
  const namespace = new TextEncoder().encode(command.namespace ?? '').subarray(0, guardLimits.netnsBytes);
  const advertsBytes = command.adverts.reduce((sum, advert) => sum + advertHeaderBytes + advert.frame.length, 0);
  const payloadBytes = 8 + name.length + namespace.length + command.addresses.length * addressBytes + advertsBytes;
  const { frame, view } = startFrame(guardCommands.put, sequence, payloadBytes);
  view.setUint16(0, command.slot, true);
  view.setUint16(2, command.addresses.length, true);
  view.setUint16(4, command.adverts.length, true);
  view.setUint8(6, name.length);
  view.setUint8(7, namespace.length);
  frame.set(name, headerBytes + 8);
  frame.set(namespace, headerBytes + 8 + name.length);
  let at = 8 + name.length + namespace.length;
  for (const address of command.addresses) {
    view.setUint32(at, address.ifindex, true);
    view.setUint8(at + 4, address.family);
    view.setUint8(at + 5, address.prefixLength);
    frame.set(address.bytes, headerBytes + at + 8);
    at += addressBytes;
  }
  for (const advert of command.adverts) {
    view.setUint32(at, advert.ifindex, true);
    view.setUint16(at + 4, advert.frame.length, true);
    view.setUint16(at + 6, advert.routed === true ? 1 : 0, true);
    frame.set(advert.frame, headerBytes + at + advertHeaderBytes);
    at += advertHeaderBytes + advert.frame.length;
  }
  return frame;
}

const stepCounts = {
  addresses: z.object({ registered: z.number(), absent: z.number(), failed: z.number(), errno: z.number() }),
  adverts: z.object({ sent: z.number(), failed: z.number(), errno: z.number() }),
};

const guardReportSchema = z.discriminatedUnion('event', [
  z.object({
    event: z.literal('ready'),
    pid: z.number(),
    memoryLocked: z.boolean(),
    oomProtected: z.boolean(),
    realtime: z.boolean(),
  }),
  z.object({ event: z.literal('unusable'), errno: z.number(), msg: z.string() }),
  z.object({
    event: z.literal('lease_ended'),
    slot: z.number(),
    vr: z.string(),
    lateUs: z.number(),
    /** That ended together: all leases of a node do. The counts are theirs in common. */
    vrs: z.number(),
    ...stepCounts,
    us: z.object({ addresses: z.number(), adverts: z.number(), total: z.number() }),
    msg: z.string(),
  }),
  z.object({
    event: z.literal('kept_off'),
    vrs: z.number(),
    addresses: stepCounts.addresses,
    msg: z.string(),
  }),
  z.object({
    event: z.literal('fenced'),
    reason: z.enum(['pipe_closed', 'process_exited', 'heartbeat_lost', 'protocol_error', 'lease_fence_failed']),
    silentUs: z.number(),
    killed: z.boolean(),
    dead: z.boolean(),
    vrs: z.number(),
    ...stepCounts,
    links: z.object({ group: z.number(), errno: z.number() }),
    us: z.object({
      kill: z.number(),
      addresses: z.number(),
      adverts: z.number(),
      links: z.number(),
      death: z.number(),
      total: z.number(),
    }),
    msg: z.string(),
  }),
]);

/**
 * What the guard says of itself. `fenced` is also its last line on stderr, as the dataplane does not live to read it.
 * Durations in microseconds; `errno` 0 means none, 19 (ENODEV) at `links` that the group was empty.
 */
export type GuardReport = z.infer<typeof guardReportSchema>;

export type GuardMessage =
  | { readonly type: 'ack'; readonly sequence: number; readonly status: GuardStatus }
  | { readonly type: 'report'; readonly report: GuardReport };

export type GuardMessageRefusal = 'bad_length' | 'unknown_type' | 'unknown_status' | 'bad_report';

export type DecodedGuardMessages =
  | { readonly ok: true; readonly messages: readonly GuardMessage[]; readonly rest: Uint8Array }
  | { readonly ok: false; readonly reason: GuardMessageRefusal };

/** Decodes all complete frames of the guard's pipe; `rest` begins the next one. After a refusal the stream is lost. */
export function decodeMessages(bytes: Uint8Array): DecodedGuardMessages {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const messages: GuardMessage[] = [];
  let at = 0;
  while (bytes.length - at >= headerBytes) {
    const length = view.getUint32(at, true);
    if (length < headerBytes || length > headerBytes + guardLimits.reportBytes)
      return { ok: false, reason: 'bad_length' };
    if (bytes.length - at < length) break;
    const payload = bytes.subarray(at + headerBytes, at + length);
    const message = decodeMessage(view.getUint8(at + 4), view.getUint32(at + 8, true), payload);
    if (typeof message === 'string') return { ok: false, reason: message };
    messages.push(message);
    at += length;
  }
  return { ok: true, messages, rest: bytes.subarray(at) };
}

function decodeMessage(type: number, sequence: number, payload: Uint8Array): GuardMessage | GuardMessageRefusal {
  if (type === guardReports.ack) {
    const status = guardStatuses[payload[0] ?? guardStatuses.length];
    return status === undefined ? 'unknown_status' : { type: 'ack', sequence, status };
  }
  if (type === guardReports.report) {
    const report = parseReport(new TextDecoder().decode(payload));
    return report === undefined ? 'bad_report' : { type: 'report', report };
  }
  return 'unknown_type';
}

/** Reads one JSON line of the guard, from its report pipe or its stderr; undefined where it is not one. */
export function parseReport(line: string): GuardReport | undefined {
  try {
    return guardReportSchema.safeParse(JSON.parse(line)).data;
  } catch {
    return undefined;
  }
}
