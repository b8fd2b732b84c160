/** CLOCK_MONOTONIC in milliseconds: the lab's one clock, the same that its C programs stamp their records with. */
export function nowMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}

/** Nanoseconds of CLOCK_MONOTONIC, as the C programs print them, in milliseconds. */
export function msOfNs(ns: bigint): number {
  return Number(ns) / 1e6;
}
