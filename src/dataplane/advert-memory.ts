/** Longer adverts, of some forty addresses, are judged each time. */
const rememberedBytesMax = 256;

interface Place {
  readonly family: 4 | 6;
  readonly id: number;
}

const etherTypeAt = 12;
const ipv4At = 14;
const idAt = { 4: ipv4At + 20 + 1, 6: 14 + 40 + 1 } as const;
const vrrpProtocol = 112;

/** One advert that was judged and accepted, and what is done when the very same comes again. */
class Remembered {
  readonly #bytes: Uint8Array;
  readonly again: (atMs: number) => void;
  readonly owner: object;

  constructor(bytes: Uint8Array, owner: object, again: (atMs: number) => void) {
    this.#bytes = bytes.slice();
    this.owner = owner;
    this.again = again;
  }

  isSame(buffer: Uint8Array, start: number, length: number): boolean {
    const bytes = this.#bytes;
    if (length !== bytes.length) return false;
    for (let at = 0; at < length; at++) if (bytes[at] !== buffer[start + at]) return false;
    return true;
  }
}

/**
 * The adverts that were accepted last on an interface, octet for octet. What has been judged once and comes again without
 * any difference needs no second judgement; whatever differs in a single bit goes the whole way.
 *
 *     family, id ──►  advert │ the same in the other form of checksum
 */
export class AdvertMemory {
  readonly #byId: Readonly<Record<4 | 6, (Remembered[] | undefined)[]>> = { 4: [], 6: [] };
  /** Where each owner has some: it is forgotten whenever anything happens to it, and mostly has none. */
  readonly #placesOf = new Map<object, Place[]>();

  /** The next time this advert comes, `again` is called instead. `owner` can have it forgotten. */
  remember(frame: Uint8Array, owner: object, again: (atMs: number) => void): void {
    const place = placeOf(frame, 0, frame.length);
    if (place === undefined || frame.length > rememberedBytesMax) return;
    const { family, id } = place;
    const kept = (this.#byId[family][id] ?? []).filter((each) => each.owner === owner).slice(-1);
    this.#byId[family][id] = [...kept, new Remembered(frame, owner, again)];
    const places = this.#placesOf.get(owner) ?? [];
    if (!places.some((each) => each.family === family && each.id === id)) this.#placesOf.set(owner, [...places, place]);
  }

  forget(owner: object): void {
    const places = this.#placesOf.get(owner);
    if (places === undefined) return;
    this.#placesOf.delete(owner);
    for (const { family, id } of places) {
      if (this.#byId[family][id]?.[0]?.owner === owner) this.#byId[family][id] = undefined;
    }
  }

  clear(): void {
    this.#placesOf.clear();
    this.#byId[4].length = 0;
    this.#byId[6].length = 0;
  }

  /** Whether the frame is an advert that is remembered; it is dealt with then. */
  recognise(buffer: Uint8Array, start: number, length: number, atMs: number): boolean {
    const family = familyAt(buffer, start, length);
    if (family === undefined) return false;
    const known = this.#byId[family][buffer[start + idAt[family]] ?? 0];
    if (known === undefined) return false;
    for (let index = 0; index < known.length; index++) {
      const each = known[index];
      if (each === undefined || !each.isSame(buffer, start, length)) continue;
      each.again(atMs);
      return true;
    }
    return false;
  }
}

function familyAt(buffer: Uint8Array, start: number, length: number): 4 | 6 | undefined {
  if (length < 14 + 20 + 8) return undefined;
  const type = ((buffer[start + etherTypeAt] ?? 0) << 8) | (buffer[start + etherTypeAt + 1] ?? 0);
  if (type === 0x0800) {
    const isPlain = buffer[start + ipv4At] === 0x45 && buffer[start + ipv4At + 9] === vrrpProtocol;
    return isPlain ? 4 : undefined;
  }
  return type === 0x86dd && length >= 14 + 40 + 8 && buffer[start + 14 + 6] === vrrpProtocol ? 6 : undefined;
}

function placeOf(frame: Uint8Array, start: number, length: number): Place | undefined {
  const family = familyAt(frame, start, length);
  return family === undefined ? undefined : { family, id: frame[start + idAt[family]] ?? 0 };
}
