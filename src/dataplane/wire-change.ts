import type { Logger } from 'pino';
import type { AttachmentGroup } from '../attach/attachment-group.js';
import type { VirtualRouterConfig } from '../config/config.js';
import type { MacAddress } from '../wire/mac.js';
import type { PreparedRouter } from './configuration-stage.js';
import type { LinkKeeper } from './link-keeper.js';
import type { RouterDetectors } from './router-detectors.js';
import { isLeased, type RunningConfiguration } from './running-configuration.js';
import { isSameOnWire, sameAddresses } from './same-on-wire.js';

export interface WireChangeOptions {
  readonly vr: string;
  readonly running: RunningConfiguration;
  readonly attachment: Pick<AttachmentGroup, 'registerAgain'>;
  readonly links: Pick<LinkKeeper, 'working' | 'changeAddresses'>;
  readonly detectors: Pick<RouterDetectors, 'setAddresses'>;
  readonly now: () => number;
  readonly log: Logger;
}

/**
 * A virtual router that runs says, and does, what another configuration wants: in its adverts, by its addresses, and through
 * the guard.
 * @param before what it did until now; it has adopted `prepared` by now
 * @returns what could not be brought about, for people
 */
export async function changeWire(
  before: VirtualRouterConfig,
  prepared: PreparedRouter,
  options: WireChangeOptions,
): Promise<string | undefined> {
  const { vr, running, attachment, links, now, log } = options;
  const { config, shared } = prepared;
  const isSameInCommon = shared.digest === running.shared.digest;
  if (isSameOnWire(before, config) && isLeased(before) === isLeased(config) && isSameInCommon) return undefined;
  const spokenBefore = running.speak(prepared, now());
  return await links.working(async () => {
    try {
      if (sameAddresses(before, config)) await attachment.registerAgain();
      else await changeAddresses(prepared, options);
      return undefined;
    } catch (error) {
      running.takeBack(spokenBefore, before.addresses);
      const why = error instanceof Error ? error.message : String(error);
      log.error({ vr, err: error }, 'it keeps the addresses it had');
      return `${why}; it keeps the addresses it had`;
    }
  });
}

async function changeAddresses(
  { adapter, config: { addresses } }: PreparedRouter,
  { links, detectors }: WireChangeOptions,
): Promise<void> {
  const addressesOf = (virtualMac: MacAddress): string[] =>
    addresses.filter(({ family }) => adapter.virtualMac(family) === virtualMac).map(({ address }) => address);
  const all = addresses.map(({ address }) => address);
  await links.changeAddresses(all, addressesOf);
  detectors.setAddresses(addressesOf);
}
