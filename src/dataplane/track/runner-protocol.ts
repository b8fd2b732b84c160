import { z } from 'zod';
import type { FileTrack, ProcessTrack, RouteTrack, ScriptTrack } from '../../config/config.js';

/*
 * What the dataplane and its runner say to each other. Both are of the same release: the dataplane starts the runner
 * itself.
 */

/** What is watched from the runner: whatever needs a fork, a file system or a large table. */
export type RunnerTrack = ScriptTrack | FileTrack | ProcessTrack | RouteTrack;

const base = { name: z.string(), weight: z.number(), reverse: z.boolean(), intervalMs: z.number().positive() };
const polled = { ...base, rise: z.int().positive(), fall: z.int().positive() };
const user = z.string().optional();

const track = z.discriminatedUnion('kind', [
  z.strictObject({
    kind: z.literal('script'),
    ...polled,
    command: z.array(z.string()).min(1),
    timeoutMs: z.number().positive(),
    user,
  }),
  z.strictObject({ kind: z.literal('file'), ...base, file: z.string() }),
  z.strictObject({ kind: z.literal('process'), ...polled, process: z.string(), quorum: z.int().positive() }),
  z.strictObject({
    kind: z.literal('route'),
    ...polled,
    destination: z.strictObject({
      family: z.union([z.literal(4), z.literal(6)]),
      address: z.string(),
      prefixLength: z.int().nonnegative(),
    }),
    table: z.int().positive(),
  }),
]);

export const toRunner = z.discriminatedUnion('type', [
  /** Everything to watch from now on; what is as before goes on undisturbed. */
  z.strictObject({ type: z.literal('watch'), tracks: z.array(track) }),
  z.strictObject({
    type: z.literal('run'),
    id: z.int(),
    command: z.array(z.string()).min(1),
    user,
    timeoutMs: z.number().positive(),
    environment: z.record(z.string(), z.string()),
  }),
]);
export type ToRunner = z.infer<typeof toRunner>;

const outcome = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('exited'), code: z.int() }),
  z.strictObject({ kind: z.literal('killed'), signal: z.string() }),
  z.strictObject({ kind: z.literal('timeout'), timeoutMs: z.number() }),
  z.strictObject({ kind: z.literal('not_started'), why: z.string() }),
]);
/** How a command ended. */
export type CommandOutcome = z.infer<typeof outcome>;

export const fromRunner = z.discriminatedUnion('type', [
  z.strictObject({
    type: z.literal('reading'),
    track: z.string(),
    level: z.union([z.literal('up'), z.literal('down'), z.number()]),
    /** Why, for people. */
    detail: z.string(),
  }),
  z.strictObject({
    type: z.literal('ran'),
    id: z.int(),
    outcome,
    /** The beginning of what it wrote to standard output and error. */
    output: z.string(),
    durationMs: z.number(),
  }),
]);
export type FromRunner = z.infer<typeof fromRunner>;

/** The outcome in words; undefined for a success. */
export function explainOutcome(ended: CommandOutcome): string | undefined {
  switch (ended.kind) {
    case 'exited':
      return ended.code === 0 ? undefined : `it exited with ${ended.code}`;
    case 'killed':
      return `it died of ${ended.signal}`;
    case 'timeout':
      return `it took longer than ${ended.timeoutMs} ms and was killed`;
    case 'not_started':
      return `it could not be started: ${ended.why}`;
  }
}
