import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { Announcer } from '../../src/attach/announcer.js';
import { addressLifetimeSeconds, renewEveryMs } from '../../src/attach/attachment.js';
import { AddressRemovals } from '../../src/kernel/addresses.js';
import { getLink } from '../../src/kernel/links.js';
import { ADDRESS_PROTO } from '../../src/kernel/names.js';
import { etherProtocol, PacketSocket } from '../../src/kernel/packet.js';
import { confPath, readSysctl } from '../../src/kernel/sysctl.js';
import { arpProbe, decodeArp } from '../../src/wire/arp.js';
import { formatMac, parseMac } from '../../src/wire/mac.js';
import { type Cable, good, ip, layCable, milliseconds } from '../kernel/cable.js';
import { Host, specOf } from './host.js';

const ownAddress = '10.77.0.1';
let cable: Cable;
let host: Host;

beforeAll(async () => {
  cable = await layCable();
  ip(`addr add ${ownAddress}/24 dev ${cable.nearName}`);
  host = new Host();
});
afterEach(() => {
  host.reset();
});
afterAll(() => {
  host.close();
  cable.remove();
});

/** Everything that leaves by the cable's far end, and a way to ask from there. */
class FarEnd {
  readonly frames: Uint8Array[] = [];
  readonly #socket = PacketSocket.open({
    ifindex: cable.far,
    protocol: etherProtocol.all,
    onFrame: (frame, { outgoing }) => {
      if (!outgoing) this.frames.push(frame.slice());
    },
  });

  /** Asks for an address, and once for the host's own: returns who answered for the first before or beside the second. */
  async ask(address: string): Promise<string[]> {
    const asker = parseMac('02:00:00:00:00:99');
    if (!asker.ok) throw new Error(asker.reason);
    const answers = (wanted: string) =>
      this.frames.flatMap((frame) => {
        const arp = decodeArp(frame, 14, frame.length - 14);
        return arp.ok && arp.value.opcode === 2 && arp.value.senderAddress === wanted ? [arp.value.senderMac] : [];
      });
    const probe = (targetAddress: string) =>
      this.#socket.send([arpProbe({ senderMac: asker.value, senderAddress: '10.77.0.99', targetAddress })]);
    // A macvlan hears broadcasts through a work queue, so the parent's first answer proves nothing about it yet.
    for (let round = 1; round <= 5; round++) {
      probe(address);
      const before = answers(ownAddress).length;
      probe(ownAddress);
      for (let waited = 0; answers(ownAddress).length === before; waited++) {
        if (waited > 500) throw new Error('the host does not answer for its own address');
        await milliseconds(1);
        this.#socket.drain();
      }
    }
    return answers(address);
  }

  /** Source MACs of everything that came. */
  sources(): Set<string> {
    this.#socket.drain();
    return new Set(this.frames.map((frame) => formatMac(frame.subarray(6, 12))));
  }

  close(): void {
    this.#socket.close();
  }
}

describe('several that are vacated together', () => {
  test('have their addresses off at once, are attached no more, and read it back when they are detached', async () => {
    const specs = [specOf(41), specOf(42, ['10.77.0.150', '10.77.0.151'])];
    const attachments = specs.map((spec) => host.attachment(spec));
    const tokens = await Promise.all(attachments.map((attachment) => attachment.attach(cable.near)));
    const addresses = specs.flatMap((spec) => spec.addresses);
    expect(host.holders(addresses)).toHaveLength(3);
    const removals = new AddressRemovals();
    for (const attachment of attachments) attachment.vacate(removals);
    expect(tokens.map(({ valid }) => valid)).toEqual([false, false]);
    expect(host.holders(addresses)).toHaveLength(3);
    removals.send();
    expect(host.holders(addresses)).toEqual([]);
    for (const [index, attachment] of attachments.entries()) {
      expect(attachment.detach()).toBe(`${specs[index]?.addresses.join(', ')} off`);
    }
  });

  test('one that came back, or was not taken off, goes with the detach', async () => {
    const spec = specOf(43);
    const attachment = host.attachment(spec);
    await attachment.attach(cable.near);
    attachment.vacate(new AddressRemovals());
    expect(host.holders(spec.addresses)).toHaveLength(1);
    attachment.detach();
    expect(host.holders(spec.addresses)).toEqual([]);
    await attachment.attach(cable.near);
    expect(host.holders(spec.addresses)).toHaveLength(1);
  });

  test('an attach that is under way ends', async () => {
    const attachment = host.attachment(specOf(44), { register: () => milliseconds(50) });
    const attached = attachment.attach(cable.near);
    await milliseconds(10);
    const removals = new AddressRemovals();
    attachment.vacate(removals);
    removals.send();
    await expect(attached).rejects.toThrow('it was released meanwhile');
    attachment.detach();
    expect(host.holders(specOf(44).addresses)).toEqual([]);
  });
});

const gone = (ifindex: number) => getLink(host.netlink, ifindex).ok === false;

describe('in backup', () => {
  test('the link is there, down, without addresses, tagged, silent by its settings', () => {
    const spec = specOf(51);
    const attachment = host.attachment(spec);
    attachment.prepare(cable.near);
    const link = good(getLink(host.netlink, attachment.linkIfindex ?? 0));
    expect(link).toMatchObject({
      name: spec.linkName,
      kind: 'macvlan',
      macvlanMode: 'private',
      parentIfindex: cable.near,
      mac: spec.virtualMac,
      alias: 'koi:edge:gw51:boot1',
      group: spec.group,
      flags: { up: false },
      addrGenMode: 'none',
      ipv4Conf: { arpIgnore: 1, arpAnnounce: 2, arpNotify: 0, rpFilter: 0 },
    });
    expect(host.addressesOf(link.ifindex)).toEqual([]);
    const sysctl = (key: 'arp_ignore' | 'arp_announce') => readSysctl(confPath(spec.linkName, key));
    expect([sysctl('arp_ignore'), sysctl('arp_announce')]).toEqual(['1', '2']);
    expect(attachment.token).toBeUndefined();

    attachment.prepare(cable.near);
    expect(attachment.linkIfindex).toBe(link.ifindex);
  });

  test('nothing leaves from the virtual MAC and nobody answers for the VIP, also when the parent comes and goes', async () => {
    const spec = specOf(51);
    const [vip = ''] = spec.addresses;
    const attachment = host.attachment(spec);
    attachment.prepare(cable.near);
    const farEnd = new FarEnd();
    try {
      for (let flap = 0; flap < 3; flap++) {
        ip(`link set ${cable.nearName} down`);
        ip(`link set ${cable.nearName} up`);
        await host.monitor.waitFor(
          () => host.monitor.links.get(cable.near)?.operstate === 'up' || undefined,
          1000,
          'the parent being up',
        );
        expect(await farEnd.ask(vip)).toEqual([]);
      }
      expect(farEnd.sources()).not.toContain(spec.virtualMac);

      await attachment.attach(cable.near);
      const answers = await farEnd.ask(vip);
      expect(answers.length).toBeGreaterThan(0);
      expect(new Set(answers)).toEqual(new Set([spec.virtualMac]));
    } finally {
      farEnd.close();
    }
  });
});

describe('attach', () => {
  test('gives a receipt for each step, in order, and a token', async () => {
    const spec = specOf(51);
    const registered: number[] = [];
    const attachment = host.attachment(spec, {
      register: (link) => {
        registered.push(link);
        expect(host.holders(spec.addresses), 'the guard knows before there is anything to take off').toEqual([]);
        return Promise.resolve();
      },
    });
    attachment.prepare(cable.near);
    const token = await attachment.attach(cable.near);
    expect(token).toMatchObject({ vr: 'gw51', valid: true });
    expect(attachment.token).toBe(token);
    expect(token.receipts.map(({ step }) => step)).toEqual([
      'parent',
      'guards',
      'link',
      'link_up',
      'registered',
      'addresses',
    ]);
    const [parent, , link, linkUp, , addresses] = token.receipts.map(({ evidence }) => evidence);
    expect(parent).toBe(`${cable.nearName} (ifindex ${cable.near}) is up`);
    expect(link).toContain(`${spec.linkName} (ifindex ${attachment.linkIfindex})`);
    expect(linkUp).toContain(spec.virtualMac);
    expect(addresses).toBe(`10.77.0.251 on ${spec.linkName}`);
    for (const { durationMs } of token.receipts) expect(durationMs).toBeGreaterThanOrEqual(0);
    expect(registered).toEqual([attachment.linkIfindex]);
  });

  test('adds host addresses with owner tag, without prefix route, for two seconds; both families', async () => {
    const spec = specOf(51, ['10.77.0.251', '2001:db8::251']);
    const attachment = host.attachment(spec);
    await attachment.attach(cable.near);
    const found = host.addressesOf(attachment.linkIfindex);
    expect(found.map(({ address, prefixLength }) => `${address}/${prefixLength}`)).toEqual([
      '10.77.0.251/32',
      '2001:db8::251/128',
    ]);
    for (const address of found) {
      expect(address).toMatchObject({
        proto: ADDRESS_PROTO,
        flags: { noPrefixRoute: true, tentative: false, dadFailed: false, permanent: false },
      });
      expect(address.validSeconds).toBeLessThanOrEqual(addressLifetimeSeconds);
    }
    expect(ip('route show')).not.toContain(spec.linkName);
  });

  test('addresses that nobody renews end by themselves within 4 s; renewed ones stay', async () => {
    const [kept, dropped] = [specOf(51), specOf(52)];
    const keeper = host.attachment(kept);
    const dead = host.attachment(dropped);
    await keeper.attach(cable.near);
    await dead.attach(cable.near);
    const startMs = performance.now();
    const renewing = setInterval(() => host.renew(keeper), renewEveryMs);
    try {
      await host.monitor.waitFor(
        () => host.monitor.holdersOf(dropped.addresses[0] ?? '').length === 0 || undefined,
        4000,
        'the end of the address that nobody renews',
      );
      expect(performance.now() - startMs).toBeGreaterThan(1000);
    } finally {
      clearInterval(renewing);
    }
    expect(host.addressesOf(keeper.linkIfindex)).toHaveLength(1);
    expect(host.renew(keeper)).toEqual([]);
    expect(host.renew(dead)).toEqual(dropped.addresses);
    expect(host.addressesOf(dead.linkIfindex), 'a lost address is named, not put back').toEqual([]);
  });

  test('addresses of a lease that nears its end are renewed no more, and not added', async () => {
    const spec = specOf(51);
    let seconds = 1;
    const attachment = host.attachment(spec, { lifetimeSeconds: () => seconds });
    await attachment.attach(cable.near);
    expect(host.addressesOf(attachment.linkIfindex)[0]?.validSeconds).toBeLessThanOrEqual(1);
    seconds = 0;
    const renewing = setInterval(() => host.renew(attachment), renewEveryMs);
    try {
      await host.monitor.waitFor(
        () => host.monitor.holdersOf(spec.addresses[0] ?? '').length === 0 || undefined,
        20_000,
        'the end of the address',
      );
    } finally {
      clearInterval(renewing);
    }
    const late = host.attachment(specOf(52), { lifetimeSeconds: () => seconds });
    await expect(late.attach(cable.near)).rejects.toThrow('ends too soon');
    expect(host.addressesOf(late.linkIfindex)).toEqual([]);
  });

  test('a link that somebody changed in backup is mended, or made anew', async () => {
    const spec = specOf(51);
    const attachment = host.attachment(spec);
    attachment.prepare(cable.near);
    const first = attachment.linkIfindex;
    ip(`link set ${spec.linkName} addrgenmode eui64 alias stolen`);
    await attachment.attach(cable.near);
    expect(attachment.linkIfindex).toBe(first);
    expect(good(getLink(host.netlink, first ?? 0))).toMatchObject({ alias: spec.alias, addrGenMode: 'none' });
    await attachment.destroy();

    attachment.prepare(cable.near);
    ip(`link set ${spec.linkName} address 02:00:00:00:00:51`);
    await attachment.attach(cable.near);
    expect(good(getLink(host.netlink, attachment.linkIfindex ?? 0)).mac).toBe(spec.virtualMac);
    await attachment.destroy();

    attachment.prepare(cable.near);
    ip(`link del ${spec.linkName}`);
    await attachment.attach(cable.near);
    expect(host.addressesOf(attachment.linkIfindex)).toHaveLength(1);
  });

  test('once more while attached: the first token is worth nothing any more', async () => {
    const attachment = host.attachment(specOf(51));
    const first = await attachment.attach(cable.near);
    const second = await attachment.attach(cable.near);
    expect([first.valid, second.valid]).toEqual([false, true]);
    expect(host.addressesOf(attachment.linkIfindex)).toHaveLength(1);
  });

  test('on another parent leaves the first without a link', async () => {
    const other = await host.cable();
    const spec = specOf(51);
    const attachment = host.attachment(spec);
    try {
      await attachment.attach(cable.near);
      const first = attachment.linkIfindex ?? 0;
      await attachment.attach(other.near);
      expect(gone(first)).toBe(true);
      expect(good(getLink(host.netlink, attachment.linkIfindex ?? 0)).parentIfindex).toBe(other.near);
      expect(host.holders(spec.addresses)).toHaveLength(1);

      attachment.prepare(cable.near);
      expect(host.holders(spec.addresses)).toEqual([]);
      expect(good(getLink(host.netlink, attachment.linkIfindex ?? 0)).parentIfindex).toBe(cable.near);
      expect(host.koiLinks()).toHaveLength(1);
    } finally {
      await attachment.destroy();
      other.remove();
    }
  });
});

describe('release', () => {
  test('detach frees the VIP at once; the token is revoked and announcing refused', async () => {
    const spec = specOf(51);
    const attachment = host.attachment(spec);
    const farEnd = new FarEnd();
    const sender = PacketSocket.open({ ifindex: cable.near, protocol: etherProtocol.none });
    const told: string[] = [];
    const announcer = new Announcer({
      virtualMac: spec.virtualMac,
      addresses: spec.addresses,
      send: (frames) => sender.send(frames).sent,
      onSent: (operation, count) => told.push(`${operation} ${count}`),
      onFailed: (count) => told.push(`failed ${count}`),
      onRefused: (reason) => told.push(`refused ${reason}`),
    });
    try {
      const token = await attachment.attach(cable.near);
      announcer.announce(token);
      expect(farEnd.sources()).toContain(spec.virtualMac);
      expect(told).toEqual(['arp_request 1', 'arp_reply 1']);

      const link = attachment.linkIfindex ?? 0;
      expect(attachment.detach()).toBe('10.77.0.251 off');
      expect(host.holders(spec.addresses)).toEqual([]);
      expect(good(getLink(host.netlink, link)).flags.up, 'it stays up for the farewell').toBe(true);
      expect([token.valid, attachment.token]).toEqual([false, undefined]);

      farEnd.frames.length = 0;
      announcer.announce(token);
      expect(told.slice(2)).toEqual(['refused not_attached']);
      expect(farEnd.sources()).not.toContain(spec.virtualMac);

      await attachment.remake();
      expect(gone(link)).toBe(true);
      expect(good(getLink(host.netlink, attachment.linkIfindex ?? 0)).flags.up).toBe(false);
    } finally {
      sender.close();
      farEnd.close();
    }
  });

  test('attach waits for a remake that is under way; prepare leaves it to it', async () => {
    const attachment = host.attachment(specOf(51));
    await attachment.attach(cable.near);
    attachment.detach();
    void attachment.remake();
    expect(attachment.linkIfindex).toBeUndefined();
    attachment.prepare(cable.near);
    await attachment.attach(cable.near);
    expect(attachment.token?.valid).toBe(true);
    expect(host.koiLinks()).toHaveLength(1);
  });

  test('an address that somebody else put on the link goes too, with the link', async () => {
    const spec = specOf(51);
    const attachment = host.attachment(spec);
    await attachment.attach(cable.near);
    ip(`addr add ${spec.addresses[0]}/24 dev ${spec.linkName}`);
    expect(attachment.detach()).toBe('10.77.0.251 off, with the link');
    expect(host.holders(spec.addresses)).toEqual([]);
    await attachment.remake();
    expect((await host.inBackup(spec)).ifindex).toBe(attachment.linkIfindex);
  });

  test('destroy leaves nothing, twice as well as once', async () => {
    const before = host.links().map(({ name }) => name);
    const spec = specOf(51);
    const attachment = host.attachment(spec);
    await attachment.attach(cable.near);
    const token = attachment.token;
    await attachment.destroy();
    await attachment.destroy();
    expect(token?.valid).toBe(false);
    expect(host.links().map(({ name }) => name)).toEqual(before);
    expect(host.holders(spec.addresses)).toEqual([]);
  });

  test('a link that its parent left behind in this namespace loses its addresses at once', async () => {
    const other = await host.cable();
    const spec = specOf(51);
    const attachment = host.attachment(spec);
    await attachment.attach(other.near);
    const client = process.env.KOI_TEST_CLIENT ?? '';
    ip(`link set ${other.nearName} netns ${client}`);
    try {
      expect(host.holders(spec.addresses), 'the kernel keeps them').toHaveLength(1);
      attachment.forgetLink();
      expect(host.holders(spec.addresses)).toEqual([]);
      attachment.prepare(cable.near);
      expect(good(getLink(host.netlink, attachment.linkIfindex ?? 0)).parentIfindex).toBe(cable.near);
      expect(host.koiLinks()).toHaveLength(1);
    } finally {
      ip(`-n ${client} link del ${other.nearName}`);
    }
  });
});
