import { demuxFrame } from '../../src/wire/demux.js';

/** What a frame tells its receivers about an address: the MAC it is at, and the MAC the frame came from. */
export interface Binding {
  readonly address: string;
  readonly mac: string;
  readonly etherSource: string;
  readonly how: 'arp' | 'advertisement' | 'solicitation';
}

/** The binding in a frame, or undefined where it has none: sender of ARP, target of an NA, source of an NS. */
export function bindingOf(frame: Uint8Array): Binding | undefined {
  const seen = demuxFrame(frame);
  switch (seen.kind) {
    case 'arp':
      return {
        address: seen.packet.senderAddress,
        mac: seen.packet.senderMac,
        etherSource: seen.etherSource,
        how: 'arp',
      };
    case 'ndp': {
      const { message, etherSource, source } = seen;
      // Without the option there is nothing to learn from it but the frame's own source.
      const mac = message.linkLayerAddress ?? etherSource;
      return message.type === 'advertisement'
        ? { address: message.target, mac, etherSource, how: 'advertisement' }
        : { address: source, mac, etherSource, how: 'solicitation' };
    }
    default:
      return undefined;
  }
}

/** What is wrong with an advert's envelope or checksum, or undefined where it is right, or no advert. */
export function advertFault(frame: Uint8Array, virtualMac: string, unicast: boolean): string | undefined {
  const seen = demuxFrame(frame);
  if (seen.kind !== 'vrrp' && seen.kind !== 'carp') return undefined;
  if (!seen.advert.ok) return seen.advert.reason;
  if (seen.hopLimit !== 255) return `its TTL is ${seen.hopLimit}`;
  // To one peer it may come from the interface's own MAC: no switch has to learn from it.
  return seen.etherSource === virtualMac || unicast ? undefined : `it comes from ${seen.etherSource}`;
}

/** A frame in a line, as one would read it in a capture: for evidence. */
export function describeFrame(frame: Uint8Array): string {
  const seen = demuxFrame(frame);
  const hex = (from: number) => Buffer.from(frame.subarray(from, from + 64)).toString('hex');
  switch (seen.kind) {
    case 'vrrp': {
      const head = `${seen.etherSource} ${seen.source} > ${seen.destination} ttl ${seen.hopLimit} vrrp id ${seen.id}`;
      if (!seen.advert.ok) return `${head} refused: ${seen.advert.reason} ${hex(seen.payloadOffset)}`;
      const { version, priority, intervalMs, addresses } = seen.advert.value;
      const form = seen.advert.value.version === 3 ? ` ${seen.advert.value.checksumForm}` : '';
      return `${head} v${version} prio ${priority} ${intervalMs} ms${form} ${addresses.join()}`;
    }
    case 'carp': {
      const head = `${seen.etherSource} ${seen.source} > ${seen.destination} ttl ${seen.hopLimit} carp id ${seen.id}`;
      if (!seen.advert.ok) return `${head} refused: ${seen.advert.reason} ${hex(seen.payloadOffset)}`;
      return `${head} advbase ${seen.advert.value.advbase} advskew ${seen.advert.value.advskew}`;
    }
    case 'arp': {
      const { opcode, senderAddress, senderMac, targetAddress } = seen.packet;
      return `${seen.etherSource} arp ${opcode} ${senderAddress} is at ${senderMac}, to ${targetAddress}`;
    }
    case 'ndp': {
      const { type, target, linkLayerAddress } = seen.message;
      return `${seen.etherSource} ${seen.source} > ${seen.destination} ${type} of ${target} ${linkLayerAddress ?? ''}`;
    }
    case 'refused':
      return `${seen.etherSource ?? '?'} refused: ${seen.reason} ${hex(0)}`;
    default:
      return `${seen.kind} ${hex(0)}`;
  }
}
