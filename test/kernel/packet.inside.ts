import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { assemble } from '../../src/kernel/bpf.js';
import { FrameBatch } from '../../src/kernel/frame-batch.js';
import { etherProtocol, PacketSocket, type PacketSocketOptions } from '../../src/kernel/packet.js';
import { openAdvertTap, openNeighbourTap } from '../../src/kernel/tap.js';
import { lanDatagramPort as port } from '../../src/wire/lan-datagram.js';
import { type MacAddress, writeMac } from '../../src/wire/mac.js';
import { type Cable, ip, layCable } from './cable.js';

const source = '02:00:00:00:00:aa' as MacAddress;
/** IEEE 802 Local Experimental EtherType 1 (RFC 9542 §3): nobody else's. */
const experimental = 0x88b5;
const broadcast = 'ff:ff:ff:ff:ff:ff' as MacAddress;

let cable: Cable;
const open = new Set<PacketSocket>();

beforeAll(async () => {
  cable = await layCable();
});
afterEach(() => {
  for (const socket of open) socket.close();
  open.clear();
});
afterAll(() => cable.remove());

/** A 60-byte frame of an ethertype with the given bytes set. */
function frame(etherType: number, bytes: Readonly<Record<number, number>> = {}, destination = broadcast): Uint8Array {
  const octets = new Uint8Array(60);
  writeMac(octets, 0, destination);
  writeMac(octets, 6, source);
  octets[12] = etherType >> 8;
  octets[13] = etherType & 0xff;
  for (const [offset, value] of Object.entries(bytes)) octets[Number(offset)] = value;
  return octets;
}

function socket(options: Omit<PacketSocketOptions, 'ifindex'> & { ifindex?: number }): PacketSocket {
  const made = PacketSocket.open({ ifindex: cable.near, ...options });
  open.add(made);
  return made;
}

/** A tap on an end of the cable, and what it has kept: ethertype, a marker byte, direction. */
function tap(ifindex: number, openIt = openNeighbourTap): { kept: () => string[]; tap: PacketSocket } {
  const frames: string[] = [];
  const made = openIt(ifindex, (bytes, meta) => {
    const etherType = (((bytes[12] ?? 0) << 8) | (bytes[13] ?? 0)).toString(16);
    frames.push(`${etherType} ${bytes[59]} ${meta.outgoing ? 'out' : 'in'}`);
  });
  open.add(made);
  return {
    tap: made,
    kept: () => {
      made.drain();
      return frames.splice(0);
    },
  };
}

const sender = () => socket({ protocol: etherProtocol.none });

describe('a tap', () => {
  test('sees what another socket of this host sends, as outgoing, and the far end as incoming', () => {
    const near = tap(cable.near);
    const far = tap(cable.far);
    expect(sender().send([frame(0x0806, { 59: 1 })])).toEqual({ sent: 1, failed: [] });
    expect(near.kept()).toEqual(['806 1 out']);
    expect(far.kept()).toEqual(['806 1 in']);
  });

  test('sees the frames of a macvlan leave through the parent, and not those it sends itself', () => {
    ip(`link add kmv0 link ${cable.nearName} address 00:00:5e:00:01:09 type macvlan mode private`);
    ip('link set kmv0 addrgenmode none');
    ip('link set kmv0 up');
    try {
      const near = tap(cable.near);
      const ifindex = Number(ip('-o link show kmv0').split(':')[0]);
      expect(sender().send([frame(0x0806, { 59: 2 })], ifindex)).toEqual({ sent: 1, failed: [] });
      near.tap.send([frame(0x0806, { 59: 3 })]);
      expect(near.kept()).toEqual(['806 2 out']);
    } finally {
      ip('link del kmv0');
    }
  });

  test('lets through what concerns Koi and nothing else, adverts apart from the rest', () => {
    const far = tap(cable.far);
    const farAdverts = tap(cable.far, openAdvertTap);
    const all = [
      frame(0x0806, { 59: 1 }),
      frame(0x0800, { 14: 0x45, 23: 17, 36: port >> 8, 37: port & 255, 59: 2 }),
      frame(0x0800, { 23: 112, 59: 3 }),
      frame(0x0800, { 14: 0x45, 23: 17, 59: 4 }),
      frame(0x86dd, { 20: 112, 59: 5 }),
      frame(0x86dd, { 20: 58, 54: 135, 59: 6 }),
      frame(0x86dd, { 20: 58, 54: 136, 59: 7 }),
      frame(0x86dd, { 20: 58, 54: 128, 59: 8 }),
      frame(0x86dd, { 20: 6, 54: 135, 59: 9 }),
      frame(0x88cc, { 59: 10 }),
      frame(0x86dd, { 20: 58, 54: 134, 59: 11 }),
      frame(0x86dd, { 20: 17, 56: port >> 8, 57: port & 255, 59: 12 }),
      // A fragment behind the first, and one with IP options, in which the port stands by chance.
      frame(0x0800, { 14: 0x45, 20: 0x20, 23: 17, 36: port >> 8, 37: port & 255, 59: 13 }),
      frame(0x0800, { 14: 0x46, 23: 17, 36: port >> 8, 37: port & 255, 59: 14 }),
    ];
    expect(sender().send(all).sent).toBe(all.length);
    expect(far.kept()).toEqual(['806 1 in', '86dd 6 in', '86dd 7 in']);
    expect(farAdverts.kept()).toEqual(['800 2 in', '800 3 in', '86dd 5 in', '86dd 12 in']);
    // Too short to hold what the program looks at: dropped, not read beyond.
    sender().send([frame(0x0806).subarray(0, 14), frame(0x86dd, { 20: 58 }).subarray(0, 40)]);
    expect(far.kept()).toHaveLength(1);
  });

  test('of adverts loses none to a storm of ARP that nobody reads', () => {
    const farAdverts = tap(cable.far, openAdvertTap);
    const far = tap(cable.far);
    const storm = Array.from({ length: 400 }, () => frame(0x0806, { 59: 1 }));
    for (let advert = 0; advert < 40; advert++) sender().send([...storm, frame(0x0800, { 23: 112, 59: advert })]);
    expect(farAdverts.kept()).toEqual(Array.from({ length: 40 }, (_, advert) => `800 ${advert} in`));
    expect(far.tap.drops()).toBeGreaterThan(0);
    expect(far.kept().length).toBeLessThan(40 * 400);
  });

  test('keeps frames of a VLAN out, but not those with a mere priority', () => {
    const near = tap(cable.near);
    const far = tap(cable.far);
    const arp = (marker: number) => frame(0x0806, { 59: marker });
    const tagged = (tag: number, marker: number) => {
      const inner = arp(marker);
      const octets = new Uint8Array(64);
      octets.set(inner.subarray(0, 12));
      octets.set([0x81, 0x00, tag >> 8, tag & 0xff], 12);
      octets.set(inner.subarray(12), 16);
      return octets;
    };
    // On its way in the kernel takes the tag out of the frame, as many cards do; on its way out it is still there.
    sender().send([tagged(7, 2), tagged(0x6000, 3), tagged(0x6007, 4), arp(5)]);
    expect(far.kept()).toEqual(['806 3 in', '806 5 in']);
    expect(near.kept()).toEqual(['806 5 out']);
  });
});

describe('receiving', () => {
  test('through the event loop, while another listener drains', async () => {
    const frames: number[] = [];
    const receiver = socket({
      ifindex: cable.far,
      protocol: experimental,
      onFrame: (bytes) => frames.push(bytes[59] ?? 0),
    });
    const out = sender();
    out.send([frame(experimental, { 59: 1 }), frame(experimental, { 59: 2 })]);
    expect(receiver.drain()).toBe(2);
    receiver.start();
    await new Promise<void>((resolve, reject) => {
      const late = setTimeout(() => reject(new Error('nothing was delivered')), 2000);
      const look = () => {
        if (frames.length < 3) setImmediate(look);
        else {
          clearTimeout(late);
          resolve();
        }
      };
      out.send([frame(experimental, { 59: 3 })]);
      look();
    });
    expect(frames).toEqual([1, 2, 3]);
    expect(receiver.drain()).toBe(0);
  });

  test('draining from within a frame is refused, closing is not', () => {
    let refused: unknown;
    let frames = 0;
    const receiver = socket({
      ifindex: cable.far,
      protocol: experimental,
      onFrame: () => {
        frames++;
        try {
          receiver.drain();
        } catch (error) {
          refused = error;
        }
        receiver.close();
      },
    });
    sender().send([frame(experimental), frame(experimental)]);
    receiver.drain();
    expect(refused).toMatchObject({ code: 'internal' });
    expect(frames).toBe(1);
    receiver.close();
  });

  test('a frame longer than a slot is cut and says so', () => {
    const seen: [number, number][] = [];
    const receiver = socket({
      ifindex: cable.far,
      protocol: experimental,
      slotBytes: 128,
      onFrame: (bytes, meta) => seen.push([bytes.length, meta.wireLength]),
    });
    const long = new Uint8Array(1000);
    long.set(frame(experimental));
    sender().send([long]);
    receiver.drain();
    expect(seen).toEqual([[128, 1000]]);
  });

  test('frames dropped for want of a reader are counted', () => {
    const receiver = socket({ ifindex: cable.far, protocol: experimental, receiveBufferBytes: 4096 });
    const out = sender();
    for (let n = 0; n < 20; n++) out.send(Array.from({ length: 10 }, () => frame(experimental)));
    const read = receiver.drain();
    expect(receiver.drops() + read).toBe(200);
    expect(receiver.drops()).toBeGreaterThan(100);
  });

  test('membership lets a multicast address in that no one has asked for otherwise, until the socket is closed', async () => {
    const group = '01:00:5e:00:00:12' as MacAddress;
    const member = socket({ ifindex: cable.far, protocol: experimental, multicast: [group] });
    const maddr = () => ip(`maddr show dev ${cable.farName}`);
    expect(maddr()).toContain(group);
    member.close();
    // Closed in the background.
    const end = performance.now() + 2000;
    while (maddr().includes(group) && performance.now() < end) await turns(5);
    expect(maddr()).not.toContain(group);
  });

  test('a link that goes down is reported once, and the socket works again when it is up', async () => {
    const errors: string[] = [];
    let frames = 0;
    const receiver = socket({
      ifindex: cable.far,
      protocol: experimental,
      onFrame: () => frames++,
      onError: (errno) => errors.push(errno),
    });
    receiver.start();
    ip(`link set ${cable.farName} down`);
    await turns(20);
    expect(errors).toEqual(['ENETDOWN']);
    ip(`link set ${cable.farName} up`);
    const out = sender();
    const end = performance.now() + 2000;
    while (frames === 0 && performance.now() < end) {
      out.send([frame(experimental)]);
      await turns(5);
    }
    expect(frames).toBeGreaterThan(0);
    expect(errors).toEqual(['ENETDOWN']);
  });

  async function turns(count: number): Promise<void> {
    for (let n = 0; n < count; n++) await new Promise((resolve) => setTimeout(resolve, 1));
  }
});

describe('sending', () => {
  test('a refused frame does not hold up the others', () => {
    const out = sender();
    const far = tap(cable.far);
    const batch = new FrameBatch();
    batch.add(frame(0x0806, { 59: 1 }));
    batch.add(frame(0x0806, { 59: 2 }), 999_999);
    batch.add(frame(0x0806, { 59: 3 }));
    expect(out.sendBatch(batch)).toEqual({ sent: 2, failed: [{ index: 1, errno: 'ENXIO' }] });
    expect(far.kept()).toEqual(['806 1 in', '806 3 in']);
  });

  test('a batch larger than one system call goes out whole and in order', () => {
    const seen: number[] = [];
    const receiver = socket({
      ifindex: cable.far,
      protocol: experimental,
      onFrame: (bytes) => seen.push(((bytes[58] ?? 0) << 8) | (bytes[59] ?? 0)),
    });
    const batch = new FrameBatch();
    for (let n = 0; n < 1300; n++) batch.add(frame(experimental, { 58: n >> 8, 59: n & 255 }));
    const out = sender();
    const started = performance.now();
    const result = out.sendBatch(batch);
    const tookMs = performance.now() - started;
    receiver.drain();
    expect(result).toEqual({ sent: 1300, failed: [] });
    process.stdout.write(`1,300 frames in ${tookMs.toFixed(2)} ms, ${((tookMs / 1300) * 1000).toFixed(2)} µs each\n`);
    expect(seen).toEqual(Array.from({ length: 1300 }, (_, n) => n));
  });

  test('through an interface that is down: the errno, not an exception', () => {
    ip(`link set ${cable.nearName} down`);
    try {
      expect(sender().send([frame(0x0806)])).toEqual({ sent: 0, failed: [{ index: 0, errno: 'ENETDOWN' }] });
    } finally {
      ip(`link set ${cable.nearName} up`);
    }
  });
});

describe('opening', () => {
  test('on an interface that is not there names it', () => {
    expect(() => PacketSocket.open({ ifindex: 999_999, protocol: etherProtocol.arp })).toThrow(
      /interface 999999.*ENODEV/,
    );
  });

  test('with a program that the kernel refuses', () => {
    const filter = assemble([{ op: 'load', bytes: 4, offset: 0 }]);
    expect(() => socket({ protocol: etherProtocol.arp, filter })).toThrow(/filter.*EINVAL/);
  });
});
