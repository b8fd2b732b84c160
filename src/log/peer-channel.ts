import type { NatsConnection } from '@nats-io/transport-node';
import { z } from 'zod';
import type { NatsLink } from './nats-link.js';
import type { LogNames } from './subjects.js';

const name = z.string().min(1).max(255);
const term = z.number().int().nonnegative();

/** An address of each family for every place of a LAN is plenty. */
export const lanAddressesMax = 16;
export const challengeTimeoutMostMs = 10_000;

/** What one node says to another directly, past the log: questions whose answers are worth nothing later. */
const peerMessage = z.discriminatedUnion('type', [
  /** Could you take this virtual router over now? Answered with `peerAnswer`. */
  z.strictObject({ type: z.literal('areYouReady'), from: name, vr: name, term }),
  /** I serve this virtual router with this term: you need linger no longer. */
  z.strictObject({ type: z.literal('iServe'), from: name, vr: name, term }),
  /** I am better placed: hand this virtual router over to me. */
  z.strictObject({ type: z.literal('handOverToMe'), from: name, vr: name }),
  /** The operator wants this virtual router handed over, to `to` or to the successor. Answered when it is done or given up. */
  z.strictObject({
    type: z.literal('handOver'),
    from: name,
    vr: name,
    to: name.nullable(),
    timeoutMs: z.number().positive(),
  }),
  /**
   * I would take this virtual router over: do you serve it, and does your LAN work? I can be reached at these addresses,
   * and wait so long for your answer.
   */
  z.strictObject({
    type: z.literal('doYouServe'),
    from: name,
    vr: name,
    lanAddresses: z.array(z.string().min(1).max(64)).max(lanAddressesMax),
    timeoutMs: z.number().positive().max(challengeTimeoutMostMs),
  }),
  /** I serve this virtual router: do you hear my adverts, which come from the virtual MAC? */
  z.strictObject({ type: z.literal('doYouHear'), from: name, vr: name }),
]);
export type PeerMessage = z.infer<typeof peerMessage>;

const peerAnswer = z.strictObject({
  ready: z.boolean(),
  reason: z.string().max(1024),
  /** The highest term of the virtual router that the node has used or heard of. */
  highestTerm: term.exactOptional(),
  /** Asked whether it serves: what it found out about itself. */
  serving: z.enum(['serves', 'lan_down', 'not_serving']).exactOptional(),
  /** Asked whether it hears the virtual MAC, which it does not: it hears the host's own. */
  parentHeard: z.boolean().exactOptional(),
  /** Of a handover that was asked for: who has the virtual router now, with which term, and how long that took. */
  handover: z.strictObject({ owner: name, term, tookMs: z.number().nonnegative() }).exactOptional(),
});
export type PeerAnswer = z.infer<typeof peerAnswer>;

/** Nobody needs more; a longer message is not ours. */
const maxBytes = 4096;

/** Direct messages between the nodes of a cluster, over the log's connection. */
export interface PeerChannel {
  /** Undefined where the node does not answer in time, or nobody of that name is there. */
  ask(node: string, message: PeerMessage, timeoutMs: number): Promise<PeerAnswer | undefined>;
  /** Best effort; lost where the log cannot be reached. */
  tell(node: string, message: PeerMessage): void;
}

/** Joins the channel as `node`; `answer` is called for every well-formed message to it. */
export function openPeerChannel(
  link: NatsLink,
  names: LogNames,
  node: string,
  answer: (message: PeerMessage) => PeerAnswer | Promise<PeerAnswer>,
): PeerChannel {
  const encoder = new TextEncoder();
  const encode = (value: PeerMessage | PeerAnswer): Uint8Array => encoder.encode(JSON.stringify(value));
  // The client restores a subscription by itself after a reconnect, but a new connection needs a new one.
  const subscribed = new WeakSet<NatsConnection>();
  link.listen({
    onUp: (connection) => {
      if (subscribed.has(connection)) return;
      subscribed.add(connection);
      connection.subscribe(names.peerSubject(node), {
        callback: (error, message) => {
          if (error !== null) return;
          const parsed = parse(peerMessage, message.data);
          if (parsed === undefined) return;
          const answered = answer(parsed);
          if (!(answered instanceof Promise)) message.respond(encode(answered));
          else answered.then((late) => message.respond(encode(late))).catch(() => undefined);
        },
      });
    },
    onDown: () => undefined,
  });
  return {
    async ask(peer, message, timeoutMs) {
      try {
        const reply = await link.connection?.request(names.peerSubject(peer), encode(message), { timeout: timeoutMs });
        return reply === undefined ? undefined : parse(peerAnswer, reply.data);
      } catch {
        // No responder, no answer in time, no connection: the peer cannot be asked, whatever the cause.
        return undefined;
      }
    },
    tell(peer, message) {
      link.connection?.publish(names.peerSubject(peer), encode(message));
    },
  };
}

function parse<T>(schema: z.ZodType<T>, data: Uint8Array): T | undefined {
  if (data.length > maxBytes) return undefined;
  try {
    return schema.safeParse(JSON.parse(new TextDecoder().decode(data))).data;
  } catch {
    return undefined;
  }
}
