import { Announcer } from '../attach/announcer.js';
import { Attachment } from '../attach/attachment.js';
import type { AttachedPart } from '../attach/attachment-group.js';
import { KoiError } from '../koi-error.js';
import type { DuplicateProbes } from './duplicate-probes.js';
import { type FarewellsOptions, farewellsOf } from './guard-farewells.js';
import type { GuardKeeper } from './guard-keeper.js';
import type { RouterCounters } from './router-counters.js';
import type { RouterPart, RouterPlaces } from './router-places.js';
import { isLeased, type RunningConfiguration } from './running-configuration.js';
import type { Turns } from './turns.js';

export interface AttachedPartOptions extends FarewellsOptions {
  readonly running: Pick<RunningConfiguration, 'adapter' | 'config'>;
  readonly places: Pick<RouterPlaces, 'parts' | 'namespace'>;
  readonly guard: Pick<GuardKeeper, 'put'>;
  readonly duplicates: Pick<DuplicateProbes, 'check'>;
  readonly counters: Pick<RouterCounters, 'announced' | 'announceFailed' | 'announceRefused'>;
  readonly turns: Pick<Turns, 'takeLater'>;
  readonly lifetimeSeconds: () => number;
  /** Whether this host forwards IPv6 between its interfaces. */
  readonly isRouter: () => boolean;
}

/** One virtual MAC with its addresses: how it is attached and announced, and known to the guard meanwhile. */
export function attachedPart(part: RouterPart, options: AttachedPartOptions): AttachedPart {
  const { running, places, guard, duplicates, counters, turns, lifetimeSeconds, isRouter } = options;
  const { port, guardName } = part;
  const { virtualMac, addresses } = part.attachment.spec;
  const attachment = new Attachment({
    ...part.attachment,
    register: (link, registered) => {
      const namespace = places.namespace?.path;
      if (places.namespace !== undefined && namespace === undefined) {
        return Promise.reject(new KoiError('attach', `the network namespace ${places.namespace.name} is gone`));
      }
      const more = { namespace, leased: isLeased(running.config) };
      return guard.put(guardName, link, registered, farewellsOf(part, options), more);
    },
    duplicates: (ipv6) => duplicates.check(ipv6, port),
    turn: () => turns.takeLater(),
    lifetimeSeconds,
  });
  const announcer = new Announcer({
    virtualMac,
    addresses,
    isRouter,
    send: (frames) => port.send(frames),
    onSent: (operation, count) => counters.announced.add(operation, count),
    onFailed: (count) => counters.announceFailed.add('not_sent', count),
    onRefused: (reason) => counters.announceRefused.add(reason),
  });
  return { attachment, announcer, parentIfindex: () => port.state.ifindex };
}
