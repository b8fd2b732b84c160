import { z } from 'zod';
import type { NodeStatus, NodeWord } from '../core/rollout.js';
import { requestJson } from './json-request.js';

const answerTimeoutMs = 3_000;

/** What is read of `/api/v1/status`, of this release or an older one. */
const status = z.object({
  vrs: z.array(
    z.object({
      name: z.string(),
      state: z.string(),
      owner: z.string().nullable(),
      preempt: z.boolean().optional(),
      nodes: z.array(z.object({ node: z.string(), priority: z.number() })),
    }),
  ),
});

const verdict = z.object({
  ok: z.boolean(),
  checks: z.array(z.object({ name: z.string(), ok: z.boolean(), detail: z.string() })),
});

/** What Koi on a node says of itself over HTTP; `status` is undefined where it says nothing. */
export async function askNode(
  node: string,
  address: string,
  port: number,
): Promise<{ readonly word: NodeWord; readonly status: NodeStatus | undefined }> {
  const base = `http://${address.includes(':') ? `[${address}]` : address}:${port}`;
  const get = (path: string) => requestJson(new URL(base + path), { method: 'GET', timeoutMs: answerTimeoutMs });
  try {
    const [ready, told] = await Promise.all([get('/readyz'), get('/api/v1/status')]);
    const { vrs } = status.parse(told.body);
    const routers = vrs.map(({ nodes, preempt, ...rest }) => ({ ...rest, preempt, priorities: nodes }));
    return { word: wordOf(verdict.parse(ready.body)), status: { node, routers } };
  } catch (error) {
    const why = error instanceof z.ZodError ? 'what answers there is not Koi' : (error as Error).message;
    return { word: { kind: 'silent', why: `${base}: ${why}` }, status: undefined };
  }
}

function wordOf({ ok, checks }: z.infer<typeof verdict>): NodeWord {
  if (ok) return { kind: 'well' };
  const wrong = checks.filter((check) => !check.ok).map(({ name, detail }) => `${name}: ${detail}`);
  return { kind: 'unwell', why: wrong.join('; ') };
}
