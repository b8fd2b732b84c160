import { request } from 'node:http';
import { z } from 'zod';
import { waitUntil } from '../lab/wait.js';

const episode = z.object({
  kind: z.string(),
  vr: z.string().nullable(),
  node: z.string(),
  subject: z.string(),
  since: z.string(),
  evidence: z.array(z.object({ key: z.string(), value: z.string() })),
});
export type Episode = z.infer<typeof episode>;
const status = z.object({ episodes: z.array(episode) });

/** What is wrong now, as the daemon behind a control socket has it. */
export async function episodesAt(socketPath: string): Promise<readonly Episode[]> {
  return status.parse(JSON.parse(await get(socketPath, '/api/v1/status'))).episodes;
}

/** The episode's evidence as an object. */
export const evidenceOf = ({ evidence }: Episode): Readonly<Record<string, string>> =>
  Object.fromEntries(evidence.map(({ key, value }) => [key, value]));

const seenDeadlineMs = 30_000;

/**
 * Waits until a node tells of an episode, its own or another's.
 * @returns it, and the milliseconds from now on
 */
export async function seen(
  socketPath: string,
  what: string,
  isMeant: (episode: Episode) => boolean,
): Promise<{ readonly episode: Episode; readonly afterMs: number }> {
  let found: Episode | undefined;
  const look = async (): Promise<string | undefined> => {
    try {
      const episodes = await episodesAt(socketPath);
      found = episodes.find(isMeant);
      return found === undefined ? `it sees ${JSON.stringify(episodes)}` : undefined;
    } catch (error) {
      return (error as Error).message;
    }
  };
  const afterMs = await waitUntil(what, look, { deadlineMs: seenDeadlineMs, everyMs: 20 });
  if (found === undefined) throw new Error(`${what}: not seen`);
  return { episode: found, afterMs };
}

/** Waits until a node tells of no such episode any more. @returns the milliseconds from now on */
export function over(socketPath: string, what: string, isMeant: (episode: Episode) => boolean): Promise<number> {
  const look = async (): Promise<string | undefined> => {
    const left = (await episodesAt(socketPath)).find(isMeant);
    return left === undefined ? undefined : `it still sees ${JSON.stringify(left)}`;
  };
  return waitUntil(what, look, { deadlineMs: 60_000, everyMs: 50 });
}

/** One sample of a metric, by its name and labels as they are printed; undefined where there is none. */
export async function sampleAt(socketPath: string, sample: string): Promise<number | undefined> {
  const lines = (await get(socketPath, '/metrics')).split('\n');
  const line = lines.find((each) => each.startsWith(`${sample} `));
  return line === undefined ? undefined : Number(line.slice(sample.length + 1));
}

function get(socketPath: string, path: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const asked = request({ socketPath, path, timeout: 5_000 }, (response) => {
      let body = '';
      response.setEncoding('utf8');
      response.on('data', (text: string) => {
        body += text;
      });
      response.on('end', () => {
        if (response.statusCode === 200) resolve(body);
        else reject(new Error(`${path}: HTTP ${response.statusCode} ${body.slice(0, 200)}`));
      });
    });
    asked.on('timeout', () => asked.destroy(new Error(`${path}: no answer`)));
    asked.on('error', reject);
    asked.end();
  });
}
