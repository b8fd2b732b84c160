import { connect, createServer, type Socket } from 'node:net';

/** Relays TCP connections and keeps what passes for a while: a server that answers late, but in order. */
export class Relay {
  /** The delay of a question and its answer together; half of it each way. */
  delayMs = 0;

  /** @param options `ADDRESS:PORT` each */
  constructor(options: { listen: string; to: string }) {
    const [host = '', port = ''] = options.to.split(':');
    const [ownHost = '', ownPort = ''] = options.listen.split(':');
    createServer({ noDelay: true }, (client) => {
      const server = connect({ host, port: Number(port), noDelay: true });
      this.#forward(client, server);
      this.#forward(server, client);
    }).listen(Number(ownPort), ownHost);
  }

  #forward(from: Socket, to: Socket): void {
    // Timers of one length fire in the order they were set; a shorter delay must not overtake a longer one.
    let earliestMs = 0;
    const later = (act: () => void): void => {
      const now = performance.now();
      const dueMs = Math.max(now + this.delayMs / 2, earliestMs);
      earliestMs = dueMs;
      if (dueMs <= now) act();
      else setTimeout(act, dueMs - now);
    };
    from.on('data', (chunk) => later(() => void to.write(chunk)));
    from.on('end', () => later(() => void to.end()));
    from.on('error', () => to.destroy());
    from.on('close', () => later(() => void to.destroy()));
  }
}
