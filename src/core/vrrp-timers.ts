/** Adverts that may be missing before a master counts as silent (RFC 9568 §6.1). */
export const silentAdverts = 3;

/**
 * Skew_Time in milliseconds: `((256 − priority) × Master_Adver_Interval) / 256` (RFC 9568 §6.1), so that of several
 * backups the one with the highest priority comes first.
 */
export function skewTimeMs(priority: number, masterIntervalMs: number): number {
  return ((256 - priority) * masterIntervalMs) / 256;
}

/** Master_Down_Interval in milliseconds (RFC 9568 §6.1). */
export function masterDownIntervalMs(priority: number, masterIntervalMs: number): number {
  return silentAdverts * masterIntervalMs + skewTimeMs(priority, masterIntervalMs);
}
