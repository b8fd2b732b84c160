import type { NatsConnection } from '@nats-io/transport-node';
import { z } from 'zod';
import { rehearsals } from '../rehearsals.js';
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
  /** What a node asks itself, and nobody else; the channel answers it. */
  z.strictObject({ type: z.literal('areYouThere'), from: name }),
]);
type AnyMessage = z.infer<typeof peerMessage>;
export type PeerMessage = Exclude<AnyMessage, { type: 'areYouThere' }>;

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

/** Longer than a healthy log ever takes. */
const rehearsalTimeoutMs = 2000;

/**
 * Joins the channel as `node`; `answer` is called for every well-formed message to it.
 *
 * @param isRehearsed the node asks itself on every new connection, so that its first question, or its first answer, is no
 *   slower than the later ones: a challenger waits 30 ms, and takes whoever has not answered then for gone
 */
export function openPeerChannel(
  link: NatsLink,
  names: LogNames,
  node: string,
  answer: (message: PeerMessage) => PeerAnswer | Promise<PeerAnswer>,
  isRehearsed: boolean,
): PeerChannel {
  if (isRehearsed) rehearsePeerMessages();
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
          const answered = parsed.type === 'areYouThere' ? { ready: true, reason: 'it is there' } : answer(parsed);
          if (!(answered instanceof Promise)) message.respond(encode(answered));
          else answered.then((late) => message.respond(encode(late))).catch(() => undefined);
        },
      });
      if (isRehearsed) void rehearseQuestions(connection, names.peerSubject(node), node);
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

const encoder = new TextEncoder();
const encode = (value: AnyMessage | PeerAnswer): Uint8Array => encoder.encode(JSON.stringify(value));

/** A question goes out and comes back: the client makes for its first one what it needs for all. */
async function rehearseQuestions(connection: NatsConnection, subject: string, node: string): Promise<void> {
  try {
    for (let round = 0; round < rehearsals; round++) {
      const question = encode({ type: 'areYouThere', from: node });
      const { data } = await connection.request(subject, question, { timeout: rehearsalTimeoutMs });
      parse(peerAnswer, data);
    }
  } catch {
    // The connection is gone again, or is not one for questions; whoever asks then will be told so.
  }
}

/** The code that checks a kind of message is only made for the first of them. @returns what was read, for tests */
export function rehearsePeerMessages(): { readonly messages: readonly string[]; readonly answers: number } {
  const at = { from: 'rehearsal', vr: 'rehearsal' };
  const messages: readonly AnyMessage[] = [
    { type: 'areYouReady', ...at, term: 1 },
    { type: 'iServe', ...at, term: 1 },
    { type: 'handOverToMe', ...at },
    { type: 'handOver', ...at, to: null, timeoutMs: 1 },
    { type: 'doYouServe', ...at, lanAddresses: ['192.0.2.1'], timeoutMs: 1 },
    { type: 'doYouHear', ...at },
    { type: 'areYouThere', from: 'rehearsal' },
  ];
  const answers: readonly PeerAnswer[] = [
    { ready: true, reason: '', highestTerm: 1 },
    { ready: true, reason: 'serves', serving: 'serves' },
  ];
  let read: (AnyMessage | undefined)[] = [];
  let heard: (PeerAnswer | undefined)[] = [];
  for (let round = 0; round < rehearsals; round++) {
    read = messages.map((message) => parse(peerMessage, encode(message)));
    heard = answers.map((given) => parse(peerAnswer, encode(given)));
  }
  return {
    messages: read.flatMap((message) => message?.type ?? []),
    answers: heard.filter((given) => given !== undefined).length,
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
