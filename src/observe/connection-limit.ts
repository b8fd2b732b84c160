import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';

/** From one address; beyond it the others come first. */
const perPeerMax = 16;

interface Connection {
  readonly peer: string;
  /** When it began to be as it is, counted in events of this server. */
  since: number;
  request: IncomingMessage | undefined;
  response: ServerResponse | undefined;
}

/**
 * Keeps the connections of a server at `connectionsMax`. Nobody is refused: a newcomer takes the place of the one that has
 * kept the server waiting longest, with half a request, with an answer it does not read, or with nothing. So whoever asks
 * quickly is answered however many slow clients there are, and those of one address give way before others do.
 */
export function limitConnections(server: Server, connectionsMax: number): void {
  const open = new Map<Socket, Connection>();
  let events = 0;
  server.on('connection', (socket: Socket) => {
    const { remoteAddress: peer = '' } = socket;
    open.set(socket, { peer, since: events++, request: undefined, response: undefined });
    socket.once('close', () => open.delete(socket));
    if (open.size <= connectionsMax) return;
    const victim = whoGivesWay([...open].filter(([each]) => each !== socket));
    if (victim === undefined) return;
    open.delete(victim);
    victim.destroy();
  });
  server.prependListener('request', (request: IncomingMessage, response: ServerResponse) => {
    const connection = open.get(request.socket);
    if (connection === undefined) return;
    Object.assign(connection, { request, response, since: events++ });
    response.once('close', () => {
      if (connection.response !== response) return;
      Object.assign(connection, { request: undefined, response: undefined, since: events++ });
    });
  });
}

function whoGivesWay(candidates: readonly (readonly [Socket, Connection])[]): Socket | undefined {
  const ofPeer = new Map<string, number>();
  for (const [, { peer }] of candidates) ofPeer.set(peer, (ofPeer.get(peer) ?? 0) + 1);
  const rank = (connection: Connection): number =>
    ((ofPeer.get(connection.peer) ?? 0) > perPeerMax ? 0 : 2) + (isWaitedFor(connection) ? 0 : 1);
  const order = ([, a]: readonly [Socket, Connection], [, b]: readonly [Socket, Connection]): number =>
    rank(a) - rank(b) || a.since - b.since;
  return candidates.toSorted(order)[0]?.[0];
}

/** Whether it is the peer's turn: to ask, to send the rest of its body, or to read. */
const isWaitedFor = ({ request, response }: Connection): boolean =>
  request === undefined ||
  response === undefined ||
  !request.complete ||
  response.writableEnded ||
  response.writableNeedDrain;
