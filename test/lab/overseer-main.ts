import { createServer } from 'node:http';
import { connect } from '@nats-io/transport-node';
import { z } from 'zod';
import { Relay } from './relay.js';

/*
 * The lab's man on the management network, in the namespace of the switches: it reads what each nats-server says of the
 * stream, asks a stream to move its leader, and relays connections with a delay. It is asked over a unix socket.
 *
 *   overseer-main SOCKET STREAM RELAY_ADDRESS:PORT NAME=ADDRESS...
 *
 *   GET  /stream?name=NAME  what each server says of a stream: {server: {leader, lastSequence, replicas} | null}
 *   POST /leader?to=NAME    asks the stream's leader to step down in favour of another
 *   POST /delay?ms=N        how long the relay keeps each chunk, in both directions together
 */

const natsPort = 4222;
const monitoringPort = 8222;
const answerTimeoutMs = 500;

const [socketPath = '', stream = '', relayAt = '', ...pairs] = process.argv.slice(2);
const servers = new Map(pairs.map((pair) => pair.split('=') as [string, string]));

const replicaSchema = z.object({ name: z.string(), current: z.boolean(), offline: z.boolean().optional() });
const jszSchema = z.object({
  account_details: z
    .array(
      z.object({
        stream_detail: z
          .array(
            z.object({
              name: z.string(),
              cluster: z
                .object({ leader: z.string().optional(), replicas: z.array(replicaSchema).nullish() })
                .optional(),
              state: z.object({ last_seq: z.number() }),
            }),
          )
          .nullish(),
      }),
    )
    .nullish(),
});

async function streamAsSeenBy(address: string, name: string): Promise<unknown> {
  const url = `http://${address}:${monitoringPort}/jsz?accounts=true&streams=true`;
  const response = await fetch(url, { signal: AbortSignal.timeout(answerTimeoutMs) });
  const accounts = jszSchema.parse(await response.json()).account_details ?? [];
  const found = accounts.flatMap((account) => account.stream_detail ?? []).find((each) => each.name === name);
  if (found === undefined) return null;
  return {
    leader: found.cluster?.leader ?? null,
    lastSequence: found.state.last_seq,
    replicas: (found.cluster?.replicas ?? []).map(({ name, current, offline }) => ({
      name,
      current: current && offline !== true,
    })),
  };
}

async function moveLeader(to: string): Promise<unknown> {
  const connection = await connect({ servers: [...servers.values()].map((address) => `${address}:${natsPort}`) });
  try {
    const order = JSON.stringify({ placement: { preferred: to } });
    return (await connection.request(`$JS.API.STREAM.LEADER.STEPDOWN.${stream}`, order, { timeout: 2_000 })).json();
  } finally {
    await connection.close();
  }
}

const [first] = servers.values();
const relay = new Relay({ listen: relayAt, to: `${first}:${natsPort}` });

async function answer(method: string, url: URL): Promise<unknown> {
  switch (`${method} ${url.pathname}`) {
    case 'GET /stream': {
      const asked = url.searchParams.get('name') ?? stream;
      const seen = await Promise.all(
        [...servers].map(
          async ([name, address]) => [name, await streamAsSeenBy(address, asked).catch(() => null)] as const,
        ),
      );
      return Object.fromEntries(seen);
    }
    case 'POST /leader':
      return moveLeader(url.searchParams.get('to') ?? '');
    case 'POST /delay':
      relay.delayMs = Number(url.searchParams.get('ms'));
      return {};
    default:
      throw new Error(`${method} ${url.pathname}: there is no such thing`);
  }
}

createServer((request, response) => {
  answer(request.method ?? '', new URL(request.url ?? '', 'http://overseer')).then(
    (body) => response.end(JSON.stringify(body)),
    (error: unknown) => response.writeHead(500).end(String(error)),
  );
}).listen(socketPath);
