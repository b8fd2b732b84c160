import type { KoiConfig } from '../config/config.js';
import type { VrStateMessage } from '../ipc/protocol.js';
import type { Check, Verdict } from '../observe/status.js';

/** The agent's loop counts as ticking while it is at most this late. */
const tickLateMs = 5000;

/** `/healthz`: do the loops tick? */
export function judgeHealth(tickedAgoMs: number, dataplaneUp: boolean): Verdict {
  const ticks = tickedAgoMs < tickLateMs;
  return {
    ok: ticks && dataplaneUp,
    checks: [
      { name: 'agent', ok: ticks, detail: `its loop ticked ${Math.round(tickedAgoMs)} ms ago` },
      { name: 'dataplane', ok: dataplaneUp, detail: dataplaneUp ? 'connected' : 'not connected' },
    ],
  };
}

/** `/readyz`: configuration applied, interfaces bound, log joined or not needed by policy, and not drained? */
export function judgeReadiness(
  config: KoiConfig,
  dataplaneUp: boolean,
  vrs: Iterable<VrStateMessage>,
  log: { readonly reachable: boolean; readonly why: string },
  drainedSinceMs?: number,
  /** This node's own nats-server, where it has one. */
  server?: { check(mayWithout: boolean): Check },
): Verdict {
  const faulty = [...vrs].filter(({ state }) => state === 'fault');
  const differing = faulty.filter(({ reason }) => reason === 'configuration_differs').map(({ vr }) => vr);
  const unbound = faulty.filter(({ vr }) => !differing.includes(vr)).map(({ vr }) => vr);
  const isBound = unbound.length === 0;
  const mayWithout = config.virtualRouters.every((vr) => vr.arbitration === 'wire' || vr.onLogLoss === 'wire');
  const isJoined = log.reachable || mayWithout;
  const ownServer = server?.check(isJoined);
  return {
    ok:
      dataplaneUp &&
      differing.length === 0 &&
      isBound &&
      isJoined &&
      drainedSinceMs === undefined &&
      ownServer?.ok !== false,
    checks: [
      configurationCheck(dataplaneUp, differing),
      {
        name: 'interfaces',
        ok: isBound,
        detail: isBound ? 'bound' : `${unbound.join(', ')} cannot use their interface`,
      },
      { name: 'log', ok: isJoined, detail: log.reachable ? 'joined' : log.why },
      {
        name: 'service',
        ok: drainedSinceMs === undefined,
        detail:
          drainedSinceMs === undefined
            ? 'takes over what it should'
            : `drained since ${new Date(drainedSinceMs).toISOString()}; koi undrain takes it back`,
      },
      ...(ownServer === undefined ? [] : [ownServer]),
    ],
  };
}

function configurationCheck(dataplaneUp: boolean, differing: readonly string[]): Check {
  const name = 'configuration';
  if (!dataplaneUp) return { name, ok: false, detail: 'the dataplane is not connected' };
  const detail = `${differing.join(', ')} cannot take over: the other nodes have another configuration`;
  return differing.length === 0 ? { name, ok: true, detail: 'applied' } : { name, ok: false, detail };
}
