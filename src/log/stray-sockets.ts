import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import type { Socket } from 'node:net';

/**
 * The TCP sockets of this process over which nobody says a word. The NATS client (transport-node 3.4.0) gives up a server
 * that does not greet in time, and leaves the socket of that attempt open: each attempt takes a descriptor more, and a
 * command that is through cannot end.
 */
export class StraySockets {
  readonly #afterMs: number;
  readonly #waiting = new Map<Socket, NodeJS.Timeout>();
  readonly #take = (message: unknown): void => this.#watch((message as { readonly socket: Socket }).socket);

  /** @param afterMs how long an attempt may take: a socket that is silent for longer belongs to one that was given up */
  constructor(afterMs: number) {
    this.#afterMs = afterMs;
    subscribe('net.client.socket', this.#take);
  }

  /** Ends those that are left, and the watch. */
  close(): void {
    unsubscribe('net.client.socket', this.#take);
    for (const socket of this.#waiting.keys()) this.#judge(socket);
  }

  #watch(socket: Socket): void {
    const timer = setTimeout(() => this.#judge(socket), this.#afterMs);
    timer.unref();
    this.#waiting.set(socket, timer);
    socket.once('close', () => this.#forget(socket));
  }

  #judge(socket: Socket): void {
    this.#forget(socket);
    // A unix socket has no remote port: it is none of the log's.
    const isTcp = socket.connecting || socket.remotePort !== undefined;
    if (isTcp && socket.bytesRead === 0 && socket.bytesWritten === 0) socket.destroy();
  }

  #forget(socket: Socket): void {
    clearTimeout(this.#waiting.get(socket));
    this.#waiting.delete(socket);
  }
}
