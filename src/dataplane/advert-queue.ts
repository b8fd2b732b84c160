import { FrameBatch } from '../kernel/frame-batch.js';
import type { PacketSocket } from '../kernel/packet.js';

/** Of so many frames of one advert the kernel has not taken so many. */
export type OnRefused = (refused: number, of: number) => void;

/** Frames that wait for the end of the turn, to go out in one system call. */
export class AdvertQueue {
  readonly #batch = new FrameBatch(512);
  /** Whose each frame is. */
  readonly #owners: OnRefused[] = [];

  add(frames: readonly Uint8Array[], onRefused: OnRefused): void {
    for (const frame of frames) {
      this.#batch.add(frame);
      this.#owners.push(onRefused);
    }
  }

  /** Sends all; without a socket all are refused. */
  flush(socket: Pick<PacketSocket, 'sendBatch'> | undefined): void {
    if (this.#batch.count === 0) return;
    const failed = socket?.sendBatch(this.#batch).failed.map(({ index }) => index);
    if (failed === undefined || failed.length > 0) this.#tell(failed ?? this.#owners.keys());
    this.#batch.clear();
    this.#owners.length = 0;
  }

  #tell(failed: Iterable<number>): void {
    const refused = new Map<OnRefused, number>();
    for (const index of failed) {
      const owner = this.#owners[index];
      if (owner !== undefined) refused.set(owner, (refused.get(owner) ?? 0) + 1);
    }
    for (const [owner, count] of refused) owner(count, this.#owners.filter((each) => each === owner).length);
  }
}
