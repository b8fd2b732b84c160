import { request } from 'node:http';
import { z } from 'zod';

/** The part of `GET /api/v1/status` the lab looks at. */
const statusSchema = z.object({
  log: z.object({ connected: z.boolean() }),
  dataplane: z.object({ up: z.boolean() }),
  guard: z.object({ up: z.boolean() }),
  vrs: z.array(
    z.object({
      name: z.string(),
      state: z.string(),
      why: z.string(),
      term: z.number(),
      standing: z.enum(['logged', 'provisional']).nullable(),
      owner: z.string().nullable(),
      interface: z.string(),
      since: z.string(),
      warnings: z.array(z.string()),
    }),
  ),
  nodes: z.array(
    z.object({ name: z.string(), lanAddress: z.string().nullable(), lease: z.object({ state: z.string() }) }),
  ),
  episodes: z.array(z.object({ kind: z.string() })),
});
export type KoiStatus = z.infer<typeof statusSchema>;

const timelineSchema = z.object({
  entries: z.array(z.object({ at: z.string(), node: z.string(), type: z.string(), text: z.string() })),
});
export type KoiTimeline = z.infer<typeof timelineSchema>['entries'];

const answerMs = 1_000;
/** The log is read for it, by another consumer where the stream's leader moves meanwhile. */
const timelineMs = 6_000;

/** Asks a daemon over its control socket. Rejects with a sentence that says what went wrong. */
export async function koiStatus(socketPath: string): Promise<KoiStatus> {
  return statusSchema.parse(await get(socketPath, '/api/v1/status'));
}

export async function koiTimeline(socketPath: string, since: Date): Promise<KoiTimeline> {
  const answer = await get(socketPath, `/api/v1/timeline?since=${encodeURIComponent(since.toISOString())}`, timelineMs);
  return timelineSchema.parse(answer).entries;
}

/** The sum of a metric over all its labels. */
export async function koiMetric(socketPath: string, name: string): Promise<number> {
  const sample = new RegExp(`^${name}(?:\\{.*\\})? (\\S+)$`);
  const values = (await getText(socketPath, '/metrics')).split('\n').map((line) => sample.exec(line)?.[1]);
  return values.reduce((sum, value) => sum + Number(value ?? 0), 0);
}

async function get(socketPath: string, path: string, timeoutMs = answerMs): Promise<unknown> {
  const body = await getText(socketPath, path, timeoutMs);
  try {
    return JSON.parse(body);
  } catch {
    throw new Error(`${path}: not JSON: ${body.slice(0, 200)}`);
  }
}

function getText(socketPath: string, path: string, timeoutMs = answerMs): Promise<string> {
  return new Promise((resolve, reject) => {
    // A connection of its own: one that was kept may have been closed while this process stood still.
    const asked = request({ socketPath, path, timeout: timeoutMs, agent: false }, (response) => {
      let body = '';
      response.setEncoding('utf8');
      response.on('data', (text: string) => {
        body += text;
      });
      response.on('end', () => {
        if (response.statusCode !== 200) {
          reject(new Error(`${path}: HTTP ${response.statusCode} ${body.slice(0, 200)}`));
          return;
        }
        resolve(body);
      });
    });
    asked.on('timeout', () => asked.destroy(new Error(`${path}: no answer within ${timeoutMs / 1000} s`)));
    asked.on('error', reject);
    asked.end();
  });
}
