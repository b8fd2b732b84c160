/**
 * A map that is never changed: `withEntry` gives another one that shares nearly everything with it. Keys stay in the order
 * in which they came. Made for few keys that come rarely and values that change all the time, as when a log is folded:
 * another value for a known key costs a copy of one chunk and of the list of chunks, never one of all entries.
 */
class PersistentMap<K, V> implements ReadonlyMap<K, V> {
  /** Where each key's value is; shared by all maps with the same keys. */
  readonly #places: ReadonlyMap<K, number>;
  readonly #chunks: readonly (readonly V[])[];

  constructor(places: ReadonlyMap<K, number>, chunks: readonly (readonly V[])[]) {
    this.#places = places;
    this.#chunks = chunks;
  }

  static of<K, V>(entries: ReadonlyMap<K, V>): PersistentMap<K, V> {
    const places = new Map([...entries.keys()].map((key, place) => [key, place]));
    const values = [...entries.values()];
    const chunks: V[][] = [];
    for (let from = 0; from < values.length; from += chunkSize) chunks.push(values.slice(from, from + chunkSize));
    return new PersistentMap(places, chunks);
  }

  withEntry(key: K, value: V): PersistentMap<K, V> {
    const known = this.#places.get(key);
    const place = known ?? this.#places.size;
    const at = Math.floor(place / chunkSize);
    const chunk = this.#chunks[at]?.slice() ?? [];
    chunk[place % chunkSize] = value;
    const chunks = this.#chunks.slice();
    chunks[at] = chunk;
    return new PersistentMap(known === undefined ? new Map(this.#places).set(key, place) : this.#places, chunks);
  }

  get size(): number {
    return this.#places.size;
  }

  has(key: K): boolean {
    return this.#places.has(key);
  }

  get(key: K): V | undefined {
    const place = this.#places.get(key);
    return place === undefined ? undefined : this.#at(place);
  }

  forEach(told: (value: V, key: K, map: ReadonlyMap<K, V>) => void): void {
    for (const [key, value] of this) told(value, key, this);
  }

  *[Symbol.iterator](): MapIterator<[K, V]> {
    for (const [key, place] of this.#places) yield [key, this.#at(place)];
    return undefined;
  }

  entries(): MapIterator<[K, V]> {
    return this[Symbol.iterator]();
  }

  keys(): MapIterator<K> {
    return this.#places.keys();
  }

  *values(): MapIterator<V> {
    for (const chunk of this.#chunks) yield* chunk;
    return undefined;
  }

  /** Of a place that has been given away. */
  #at(place: number): V {
    return this.#chunks[Math.floor(place / chunkSize)]?.[place % chunkSize] as V;
  }
}

const chunkSize = 32;

/** `map` with this value for this key; `map` itself stays as it is. Cheap from the second time on. */
export function withEntry<K, V>(map: ReadonlyMap<K, V>, key: K, value: V): ReadonlyMap<K, V> {
  const persistent = map instanceof PersistentMap ? (map as PersistentMap<K, V>) : PersistentMap.of(map);
  return persistent.withEntry(key, value);
}
