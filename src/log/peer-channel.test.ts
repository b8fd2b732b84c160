import type { Msg, NatsConnection } from '@nats-io/transport-node';
import { expect, it } from 'vitest';
import type { LinkListener, NatsLink } from './nats-link.js';
import { openPeerChannel, type PeerMessage, rehearsePeerMessages } from './peer-channel.js';
import { logNames } from './subjects.js';

interface Asked {
  readonly subject: string;
  readonly question: unknown;
  readonly answer: unknown;
}

/** A connection that brings each question to whoever has subscribed, in the same process. */
class Loop {
  readonly asked: Asked[] = [];
  #answer: ((error: null, message: Msg) => void) | undefined;

  subscribe(_: string, { callback }: { callback: (error: null, message: Msg) => void }): void {
    this.#answer = callback;
  }

  async request(subject: string, data: Uint8Array): Promise<{ data: Uint8Array }> {
    const answer = await new Promise<Uint8Array>((resolve) => {
      this.#answer?.(null, { data, respond: resolve } as unknown as Msg);
    });
    this.asked.push({ subject, question: read(data), answer: read(answer) });
    return { data: answer };
  }
}

const read = (data: Uint8Array): unknown => JSON.parse(new TextDecoder().decode(data));

async function join(isRehearsed: boolean): Promise<{ readonly asked: Asked[]; readonly toAgent: PeerMessage[] }> {
  const loop = new Loop();
  const toAgent: PeerMessage[] = [];
  const link = {
    connection: loop,
    listen: ({ onUp }: LinkListener) => onUp(loop as unknown as NatsConnection),
  } as unknown as NatsLink;
  const answer = (message: PeerMessage) => {
    toAgent.push(message);
    return { ready: true, reason: '' };
  };
  openPeerChannel(link, logNames('edge'), 'r1', answer, isRehearsed);
  await new Promise((resolve) => setImmediate(resolve));
  return { asked: loop.asked, toAgent };
}

it('asks itself on a new connection, and is answered, before anybody else has a question', async () => {
  const { asked, toAgent } = await join(true);
  expect(asked).toHaveLength(10);
  expect(new Set(asked.map((each) => JSON.stringify(each)))).toEqual(
    new Set([
      JSON.stringify({
        subject: 'koi.edge.peer.r1',
        question: { type: 'areYouThere', from: 'r1' },
        answer: { ready: true, reason: 'it is there' },
      }),
    ]),
  );
  expect(toAgent).toEqual([]);
});

it('asks nobody where it only reads', async () => {
  expect((await join(false)).asked).toEqual([]);
});

it('reads each kind of message once before the first one comes', () => {
  const { messages, answers } = rehearsePeerMessages();
  expect([...messages].sort()).toEqual([
    'areYouReady',
    'areYouThere',
    'doYouHear',
    'doYouServe',
    'handOver',
    'handOverToMe',
    'iServe',
  ]);
  expect(answers).toBe(2);
});
