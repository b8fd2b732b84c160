/**
 * Frames laid end to end in one buffer, with the table that `sendmmsg` needs: built once, sent many times.
 *
 *     bytes  | frame 0 | frame 1 | frame 2 | free … |
 *     table  | offset length ifindex | offset length ifindex | …
 */
export class FrameBatch {
  /** Valid until the next {@link add}, which may move it to a larger buffer. */
  bytes: Uint8Array;
  table: Uint32Array;
  count = 0;
  #used = 0;

  constructor(frames = 32, frameBytes = 128) {
    this.bytes = new Uint8Array(frames * frameBytes);
    this.table = new Uint32Array(frames * 3);
  }

  /** Copies `frame` in. `ifindex` 0 means the interface that the sending socket is bound to. Returns its index. */
  add(frame: Uint8Array, ifindex = 0): number {
    if (this.#used + frame.length > this.bytes.length) {
      const larger = new Uint8Array(Math.max(this.bytes.length * 2, this.#used + frame.length));
      larger.set(this.bytes.subarray(0, this.#used));
      this.bytes = larger;
    }
    const entry = this.count * 3;
    if (entry + 3 > this.table.length) {
      const larger = new Uint32Array(Math.max(this.table.length * 2, 3));
      larger.set(this.table);
      this.table = larger;
    }
    this.bytes.set(frame, this.#used);
    this.table[entry] = this.#used;
    this.table[entry + 1] = frame.length;
    this.table[entry + 2] = ifindex;
    this.#used += frame.length;
    return this.count++;
  }

  clear(): void {
    this.count = 0;
    this.#used = 0;
  }
}
