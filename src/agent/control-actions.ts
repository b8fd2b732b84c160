import { z } from 'zod';
import { KoiError } from '../koi-error.js';
import type { ControlActions } from '../observe/http-sources.js';
import type { DoctorAnswer } from '../observe/lan-check.js';
import type { DrainDesk } from './drain-desk.js';
import { demandMoved, type HandoverDesk, handoverTimeoutMs } from './handover-desk.js';

const timeoutMs = z.number().positive().max(60_000);
const handover = z.strictObject({
  vr: z.string().min(1),
  to: z.string().min(1).nullable(),
  timeoutMs: timeoutMs.optional(),
});
const reload = z.strictObject({ force: z.boolean().default(false) });
const drain = z.strictObject({ force: z.boolean(), untilRestart: z.boolean().default(false) });
const nothing = z.strictObject({});

/** What the control socket can be asked to do. */
export function controlActions(agent: {
  readonly reload: (force: boolean) => Promise<unknown>;
  readonly handovers: HandoverDesk;
  readonly drains: DrainDesk;
  readonly examine: () => Promise<DoctorAnswer>;
}): ControlActions {
  const { handovers, drains } = agent;
  return {
    '/api/v1/reload': (body) => agent.reload(read(reload, body ?? {}).force),
    '/api/v1/handover': async (body) => {
      const asked = read(handover, body);
      const { vr, to } = asked;
      return demandMoved(
        await handovers.handOver({ vr, to: to ?? undefined, timeoutMs: asked.timeoutMs ?? handoverTimeoutMs }),
      );
    },
    '/api/v1/drain': async (body) => {
      const { force, untilRestart } = read(drain, body);
      return drains.drain(force, untilRestart);
    },
    '/api/v1/drain/progress': async (body) => {
      read(nothing, body);
      return drains.progress();
    },
    '/api/v1/doctor': async (body) => {
      read(nothing, body);
      return agent.examine();
    },
    '/api/v1/undrain': async (body) => {
      read(nothing, body);
      return drains.undrain();
    },
  };
}

function read<T>(schema: z.ZodType<T>, body: unknown): T {
  const parsed = schema.safeParse(body);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw new KoiError('usage', `the request is not as it should be: ${issue?.path.join('.')}: ${issue?.message}`);
}
