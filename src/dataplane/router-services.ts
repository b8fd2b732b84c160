import type { Logger } from 'pino';
import type { VirtualRouterConfig } from '../config/config.js';
import type { VrParameters } from '../core/vr-state.js';
import type { AdvertPump } from '../kernel/advert-pump.js';
import type { AgentServer } from './agent-server.js';
import type { ClaimTurns } from './claim-turns.js';
import type { Detection } from './detection.js';
import type { GuardKeeper } from './guard-keeper.js';
import type { HandoverTurns } from './handover-turns.js';
import type { HooksOptions } from './hooks.js';
import type { LanKey } from './lan-key.js';
import type { ParentPort } from './parent-port.js';
import type { Scheduler } from './scheduler.js';
import type { SyncGroups } from './sync-groups.js';
import type { TermStore } from './term-store.js';
import type { Trackers } from './track/trackers.js';
import type { Turns } from './turns.js';

/** What the virtual routers of one dataplane share; `parent` with those on the same interface. */
export interface RouterServices {
  readonly parent: ParentPort;
  readonly scheduler: Scheduler;
  readonly agent: AgentServer;
  readonly guard: GuardKeeper;
  readonly pump: AdvertPump;
  readonly terms: TermStore;
  readonly lanKey: LanKey | undefined;
  readonly log: Logger;
  readonly now: () => number;
  readonly wallNow: () => number;
  /** The first thing in everything that happens: notices that the loop was away. */
  readonly checkLoop: () => void;
  readonly nodeAt: (lanAddress: string) => VrParameters['node'] | undefined;
  readonly onLateness: (lateMs: number) => void;
  readonly trackers: Pick<Trackers, 'items' | 'describe'>;
  readonly groups: SyncGroups;
  readonly handovers: Pick<HandoverTurns, 'moved' | 'forget'>;
  readonly claims: ClaimTurns;
  readonly detection: Detection;
  readonly turns: Pick<Turns, 'take' | 'takeLater'>;
  readonly runHook: HooksOptions['run'];
  /** What a configuration asks of the machine, with `loss` taken off its standing by what is tracked. */
  readonly parametersOf: (config: VirtualRouterConfig, loss: number) => VrParameters;
}
