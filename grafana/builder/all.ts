import type { Dashboard } from './dashboard.js';
import { eventLog } from './event-log.js';
import { fleet } from './fleet.js';
import { virtualRouter } from './virtual-router.js';
import { wire } from './wire.js';

/** Every dashboard, by the name of its file in grafana/dashboards. */
export const dashboards: Readonly<Record<string, Dashboard>> = {
  'koi-fleet.json': fleet,
  'koi-virtual-router.json': virtualRouter,
  'koi-wire.json': wire,
  'koi-event-log.json': eventLog,
};
