import type { Scenario } from '../scenario.js';
import { arbitrations } from './arbitration.js';
import { calm } from './calm.js';
import { bothCutFromBackup, bothCutFromMaster, lanBetweenRoutersCut, multicastLost } from './cluster-lan.js';
import {
  cutManagement,
  killStreamLeader,
  killStreamLeaderAndCable,
  killTwoServers,
  killTwoServersAndDataplane,
} from './cluster-log.js';
import { masterMachineLost } from './cluster-steered.js';
import { fillDisk, wipeAllStores, wipeStore } from './cluster-store.js';
import { lanBetweenRoutersCutTaking } from './cluster-take.js';
import { logLostHolding, logLostReleasing } from './cluster-unlogged.js';
import { gracefulStop } from './graceful-stop.js';
import { handover, handoverByStop } from './handover.js';
import { carrierLost, silentPathLoss } from './lan-lost.js';
import { logDownAtStart, logStopped, logStoppedCarrierLost } from './log-lost.js';
import { manyDrained, manyHandedOver, manyPreempted } from './many-handed-over.js';
import { migration } from './migration.js';
import { pauseNode } from './node-paused.js';
import { freezeDataplane, killAgent, killDataplane, killEverything } from './process-lost.js';

/** Every scenario, in the order they run. */
export const scenarios: readonly Scenario[] = [
  gracefulStop,
  carrierLost,
  silentPathLoss,
  killDataplane,
  killEverything,
  freezeDataplane,
  killAgent,
  logStopped,
  logStoppedCarrierLost,
  logDownAtStart,
  migration,
  handover,
  handoverByStop,
  calm,
  killStreamLeader,
  killStreamLeaderAndCable,
  killTwoServers,
  killTwoServersAndDataplane,
  cutManagement,
  lanBetweenRoutersCut,
  multicastLost,
  bothCutFromMaster,
  bothCutFromBackup,
  pauseNode,
  wipeStore,
  wipeAllStores,
  fillDisk,
  lanBetweenRoutersCutTaking,
  logLostHolding,
  logLostReleasing,
  masterMachineLost,
  ...arbitrations,
  manyHandedOver,
  manyDrained,
  manyPreempted,
];
