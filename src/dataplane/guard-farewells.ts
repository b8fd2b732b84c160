import { rulesOf } from '../core/election-rules.js';
import { readMac } from '../wire/mac.js';
import type { AdvertRoute } from './advert-route.js';
import { type GuardAdvert, guardLimits } from './guard-protocol.js';
import type { ParentPort } from './parent-port.js';
import type { RouterMachine } from './router-machine.js';
import type { RouterPart, RouterPlaces } from './router-places.js';
import type { RunningConfiguration } from './running-configuration.js';

const sourceOffset = 6;

export interface FarewellsOptions {
  readonly running: Pick<RunningConfiguration, 'adapter'>;
  readonly route: Pick<AdvertRoute, 'sources' | 'isUnicast'>;
  readonly machine: Pick<RouterMachine, 'vr'>;
  readonly places: Pick<RouterPlaces, 'parts'>;
  readonly parent: Pick<ParentPort, 'state'>;
}

/** What the guard sends for one virtual MAC when this process cannot. It takes frames of a limited size: longer ones it goes without. */
export function farewellsOf(part: RouterPart, options: FarewellsOptions): GuardAdvert[] {
  const { running, route, machine, places, parent } = options;
  const { ifindex } = parent.state;
  const { virtualMac } = part.attachment.spec;
  // Where a virtual MAC is on several interfaces, the first speaks for it.
  const speaker = places.parts.find(({ attachment }) => attachment.spec.virtualMac === virtualMac);
  if (ifindex === undefined || speaker !== part) return [];
  const { farewell } = rulesOf(machine.vr.parameters.election);
  const ofPart = (frame: Uint8Array): boolean => readMac(frame, sourceOffset) === virtualMac;
  const fits = (frame: Uint8Array): boolean => frame.length <= guardLimits.advertBytes;
  const frames = running.adapter.prepare(farewell, route.sources).filter((frame) => ofPart(frame) && fits(frame));
  return frames.map((frame) => ({ ifindex, frame, routed: route.isUnicast }));
}
