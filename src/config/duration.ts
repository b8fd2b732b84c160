const unitsMs = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 } as const;
const form = /^(\d{1,9})(?:\.(\d{1,3}))?(ms|s|m|h)$/;

/** What a duration looks like, for people and for the JSON Schema. */
export const durationPattern = /^\d{1,9}(\.\d{1,3})?(ms|s|m|h)$/;

/**
 * Reads `10ms`, `1s`, `1.5s`, `2m`, `1h`.
 *
 * @returns whole milliseconds, or undefined where the text is no duration or not a whole number of them
 */
export function parseDurationMs(text: string): number | undefined {
  const match = form.exec(text);
  if (match === null) return undefined;
  const [, whole = '', fraction = '', unit = ''] = match;
  const unitMs = unitsMs[unit as keyof typeof unitsMs];
  const thousandths = Number(whole) * 1_000 + Number(fraction.padEnd(3, '0'));
  const valueMs = (thousandths * unitMs) / 1_000;
  return Number.isSafeInteger(valueMs) ? valueMs : undefined;
}

/** Writes milliseconds the way the configuration does: the largest unit that keeps a whole number. */
export function formatDuration(valueMs: number): string {
  for (const unit of ['h', 'm', 's'] as const) {
    if (valueMs !== 0 && valueMs % unitsMs[unit] === 0) return `${valueMs / unitsMs[unit]}${unit}`;
  }
  return `${valueMs}ms`;
}
