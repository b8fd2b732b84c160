/**
 * What is read of the kernel for whoever attaches is read once for all that do so in the same turn of the loop: what is the
 * same for all of two hundred virtual routers on one interface is else read two hundred times in the same few milliseconds.
 * A failure is not remembered. Who attaches alone reads as ever.
 */
export function onceATurn<Key, Value>(
  read: (key: Key) => Value,
  turnEnds: (act: () => void) => void = (act) => void setImmediate(act),
): (key: Key) => Value {
  const known = new Map<Key, Value>();
  return (key) => {
    const before = known.get(key);
    if (before !== undefined) return before;
    const value = read(key);
    if (known.size === 0) turnEnds(() => known.clear());
    known.set(key, value);
    return value;
  };
}
