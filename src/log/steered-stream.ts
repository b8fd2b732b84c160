import { z } from 'zod';
import { KoiError } from '../koi-error.js';
import { managementTimeoutMs } from './jetstream-trouble.js';
import type { SteeredStream } from './leader-steering.js';
import type { StreamAccess } from './stream-keeper.js';

const stepDownAnswer = z.object({
  success: z.boolean().optional(),
  error: z.object({ description: z.string().optional() }).optional(),
});

/**
 * The stream as one whose leader can be asked for and moved.
 *
 * @param access throws KoiError `unreachable`
 */
export const steeredStream = (name: string, access: () => StreamAccess): SteeredStream => ({
  name,
  leadership: async () => {
    const { cluster } = await access().manager.streams.info(name);
    const followers = (cluster?.replicas ?? []).map((peer) => ({
      name: peer.name,
      current: peer.current,
      offline: peer.offline === true,
    }));
    return { stream: name, leader: cluster?.leader === '' ? undefined : cluster?.leader, followers };
  },
  // As the server has it since 2.11: `placement.preferred` names who shall lead instead.
  stepDown: async (server) => {
    const answer = await access().connection.request(
      `$JS.API.STREAM.LEADER.STEPDOWN.${name}`,
      JSON.stringify({ placement: { preferred: server } }),
      { timeout: managementTimeoutMs },
    );
    const { success, error } = stepDownAnswer.parse(answer.json());
    if (success === true) return;
    const why = error?.description ?? 'it gives no reason';
    throw new KoiError('log', `stream ${name}: its leader does not hand over to ${server}: ${why}`);
  },
});
