import { parseDurationMs } from '../config/duration.js';
import { KoiError } from '../koi-error.js';

/**
 * Reads a point in time: a duration before now (`10m`), or a date with or without a time, as RFC 3339 writes it.
 *
 * @returns Unix time in milliseconds
 * @throws KoiError 'usage'
 */
export function parseTime(text: string, option: string, nowMs: number): number {
  const agoMs = parseDurationMs(text);
  if (agoMs !== undefined) return nowMs - agoMs;
  const atMs = /^\d{4}-\d{2}-\d{2}/.test(text) ? Date.parse(text.replace(' ', 'T')) : Number.NaN;
  if (Number.isFinite(atMs)) return atMs;
  throw new KoiError('usage', `${option}: '${text}' is not a time`, {
    remedy: 'write 10m for ten minutes ago, or 2026-01-31T12:00:00Z',
  });
}

/** How long ago, in one unit: `3s`, `12m`, `5h`, `9d`. */
export function formatAgo(at: string, nowMs: number): string {
  const seconds = Math.max(0, Math.floor((nowMs - Date.parse(at)) / 1_000));
  if (Number.isNaN(seconds)) return '?';
  if (seconds < 60) return `${seconds}s`;
  if (seconds < 3_600) return `${Math.floor(seconds / 60)}m`;
  return seconds < 172_800 ? `${Math.floor(seconds / 3_600)}h` : `${Math.floor(seconds / 86_400)}d`;
}
