/** One frame of a capture. */
export interface CapturedFrame {
  /** Seconds since 1970, as the kernel stamped it. */
  readonly atSeconds: number;
  readonly bytes: Uint8Array;
}

const fileHeaderLength = 24;
const recordHeaderLength = 16;
/** Microsecond stamps in the byte order of the machine that wrote it (pcap-savefile(5)). */
const magic = 0xa1b2c3d4;

/** Reads a pcap stream as it comes, in pieces of any size. Only what tcpdump writes on this machine: no swapped order. */
export class PcapReader {
  #rest: Buffer = Buffer.alloc(0);
  #headerRead = false;

  /**
   * Takes the next piece.
   *
   * @returns the frames that are complete now
   * @throws Error where the stream is no capture
   */
  take(piece: Buffer): CapturedFrame[] {
    const all = this.#rest.length === 0 ? piece : Buffer.concat([this.#rest, piece]);
    let offset = 0;
    if (!this.#headerRead) {
      if (all.length < fileHeaderLength) {
        this.#rest = all;
        return [];
      }
      if (all.readUInt32LE(0) !== magic)
        throw new Error(`not a pcap stream: it begins with ${all.toString('hex', 0, 4)}`);
      this.#headerRead = true;
      offset = fileHeaderLength;
    }
    const frames: CapturedFrame[] = [];
    while (all.length - offset >= recordHeaderLength) {
      const length = all.readUInt32LE(offset + 8);
      const end = offset + recordHeaderLength + length;
      if (all.length < end) break;
      const atSeconds = all.readUInt32LE(offset) + all.readUInt32LE(offset + 4) / 1e6;
      frames.push({ atSeconds, bytes: all.subarray(offset + recordHeaderLength, end) });
      offset = end;
    }
    this.#rest = all.subarray(offset);
    return frames;
  }
}
