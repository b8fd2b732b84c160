import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import type { AttachSpec } from '../../src/attach/attachment.js';
import { LinkBin } from '../../src/attach/link-bin.js';
import { makeVirtualMacLink } from '../../src/attach/virtual-mac-link.js';
import type { ErrnoName } from '../../src/kernel/errno.js';
import { setDown } from '../../src/kernel/links.js';
import { ADDRESS_PROTO, linkGroup } from '../../src/kernel/names.js';
import { failure, Netlink } from '../../src/kernel/netlink.js';
import { KoiError } from '../../src/koi-error.js';
import { type Cable, ip, layCable, milliseconds } from '../kernel/cable.js';
import { stallMs } from '../lab/wait.js';
import { Host, specOf } from './host.js';

let cable: Cable;
let host: Host;

beforeAll(async () => {
  cable = await layCable();
  host = new Host();
});
afterEach(() => {
  host.reset();
});
afterAll(() => {
  host.close();
  cable.remove();
});

/** The kernel refuses, or does it and the answer is lost on the way. */
type Fault = 'refused' | 'answer lost';

/** A netlink socket some of whose calls, counted from `arm`, fail. */
class Saboteur {
  readonly netlink = Netlink.open();
  readonly bin = new LinkBin(this.netlink, linkGroup('edge', 'sabotaged bin'));
  calls = 0;
  #plan: (call: number) => Fault | undefined = () => undefined;

  constructor() {
    const { netlink } = this;
    const { request, query, dump, requestInBackground } = netlink;
    const no = failure('ENOBUFS', 'sabotaged');
    netlink.request = (messages) =>
      this.#meddle(
        () => request.call(netlink, messages),
        () => messages.map(() => no),
      );
    netlink.query = (message, parse) =>
      this.#meddle(
        () => query.call(netlink, message, parse) as ReturnType<typeof netlink.query<never>>,
        () => no,
      );
    netlink.dump = (message, parse) =>
      this.#meddle(
        () => dump.call(netlink, message, parse) as ReturnType<typeof netlink.dump<never>>,
        () => no,
      );
    netlink.requestInBackground = (messages, deadlineMs) =>
      this.#meddle(
        () => requestInBackground.call(netlink, messages, deadlineMs),
        () => Promise.resolve(messages.map(() => no)),
      );
  }

  #meddle<T>(real: () => T, broken: () => T): T {
    this.calls += 1;
    const fault = this.#plan(this.calls);
    if (fault === undefined) return real();
    if (fault === 'answer lost') real();
    return broken();
  }

  /** Counts from 1 again. */
  arm(plan: (call: number) => Fault | undefined): void {
    this.calls = 0;
    this.#plan = plan;
  }

  disarm(): void {
    this.arm(() => undefined);
  }
}

/** Neither address nor link that is up, now or as soon as the kernel is done. */
async function nothingLeft(spec: AttachSpec): Promise<void> {
  await host.monitor.waitFor(
    () => (host.monitor.linkByName(spec.linkName)?.flags.up === true ? undefined : true),
    1000,
    `${spec.linkName} being down or gone`,
  );
  expect(host.holders(spec.addresses)).toEqual([]);
}

const message = async (promise: Promise<unknown>): Promise<string> => {
  const error = await promise.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(KoiError);
  return error instanceof KoiError ? `${error.message}; ${error.remedy ?? ''}` : '';
};

const steps = /^gw51: step (parent|guards|link|link_up|registered|addresses) of the attach \(koi51\.[0-9a-f]{6}\): /;

describe.each(['refused', 'answer lost'] as const)('each kernel call once %s', (fault) => {
  test.each(['prepared', 'not prepared'] as const)('%s: nothing is left, the next attach succeeds', async (state) => {
    const saboteur = new Saboteur();
    const spec = specOf(51, ['10.77.0.251', '10.77.0.252']);
    const failed: string[] = [];
    for (let call = 1; ; call++) {
      const attachment = host.attachment(spec, saboteur);
      if (state === 'prepared') attachment.prepare(cable.near);
      saboteur.arm((made) => (made === call ? fault : undefined));
      const outcome = await attachment.attach(cable.near).catch((error: unknown) => error);
      const isHit = saboteur.calls >= call;
      if (!(outcome instanceof Error)) {
        saboteur.disarm();
        await attachment.destroy();
        // Mending and making anew may get over a fault; only when no call is left to fail is it the end.
        if (!isHit) break;
        continue;
      }
      expect(outcome.message).toMatch(steps);
      failed.push(steps.exec(outcome.message)?.[1] ?? '');
      expect(attachment.token).toBeUndefined();
      expect(host.holders(spec.addresses), `after ${outcome.message}`).toEqual([]);
      await nothingLeft(spec);
      saboteur.disarm();

      const token = await attachment.attach(cable.near);
      expect(token.valid).toBe(true);
      expect(host.addressesOf(attachment.linkIfindex)).toHaveLength(2);
      await attachment.destroy();
      expect(host.koiLinks()).toEqual([]);
    }
    saboteur.netlink.close();
    // A link that is there already is made anew where looking at it fails.
    const madeHere = state === 'prepared' ? [] : ['link'];
    expect(new Set(failed)).toEqual(new Set(['parent', ...madeHere, 'link_up', 'addresses']));
    expect(failed.length).toBeGreaterThanOrEqual(state === 'prepared' ? 4 : 8);
  });
});

/** What an attach has made must be there, whatever the kernel has said. */
function expectWhole(spec: AttachSpec): void {
  expect(host.koiLinks()).toMatchObject([
    {
      name: spec.linkName,
      alias: spec.alias,
      mac: spec.virtualMac,
      macvlanMode: 'private',
      addrGenMode: 'none',
      ipv4Conf: { arpIgnore: 1, arpAnnounce: 2, arpNotify: 0 },
      flags: { up: true },
    },
  ]);
  const held = host.holders(spec.addresses).map(({ address, proto }) => `${address} ${proto}`);
  expect(held.sort()).toEqual(spec.addresses.map((address) => `${address} ${ADDRESS_PROTO}`).sort());
}

describe('the kernel says yes to a change, and does not make it', () => {
  test('whichever it is, it is read back: there is no token unless everything is in place', async () => {
    const spec = specOf(51, ['10.77.0.251', '10.77.0.252']);
    const noticed: string[] = [];
    for (let change = 1; ; change++) {
      const netlink = Netlink.open();
      const { request } = netlink;
      let made = 0;
      netlink.request = (messages) => {
        made += 1;
        return made === change ? messages.map(() => ({ ok: true })) : request.call(netlink, messages);
      };
      const bin = new LinkBin(netlink, linkGroup('edge', 'ignored bin'));
      const attachment = host.attachment(spec, { netlink, bin });
      const outcome = await attachment.attach(cable.near).catch((error: unknown) => error);
      const isHit = made >= change;
      if (outcome instanceof Error) {
        expect(outcome.message).toMatch(steps);
        noticed.push(steps.exec(outcome.message)?.[1] ?? '');
        expect(attachment.token).toBeUndefined();
        expect(host.holders(spec.addresses)).toEqual([]);
        await nothingLeft(spec);
      } else {
        expectWhole(spec);
      }
      await attachment.destroy();
      netlink.close();
      expect(host.koiLinks()).toEqual([]);
      if (!isHit) break;
    }
    // Made, configured, set up, given its addresses: each of them once.
    expect(noticed).toEqual(['link', 'link', 'link_up', 'addresses']);
  });
});

describe('what the kernel refuses when a link is made', () => {
  const spec = specOf(53);
  const saying = (errno: ErrnoName): string => {
    const netlink = Netlink.open();
    const { request } = netlink;
    let made = 0;
    netlink.request = (messages) => {
      made += 1;
      return made === 1 ? messages.map(() => failure(errno)) : request.call(netlink, messages);
    };
    try {
      makeVirtualMacLink({ netlink }, spec, cable.near);
      return 'made';
    } catch (error) {
      return error instanceof KoiError ? error.message : String(error);
    } finally {
      netlink.close();
    }
  };

  test.each([
    ['EEXIST', 'it exists already'],
    ['ENFILE', 'none is left'],
    ['ENOSPC', 'none is left'],
    ['ENOMEM', 'out of memory'],
    ['ENOBUFS', 'no buffer space'],
    ['ERANGE', 'the name is too long'],
    ['EINVAL', 'the kernel refuses the arguments'],
    ['ENODEV', 'no such interface'],
    ['EPERM', 'not permitted'],
    ['EOPNOTSUPP', 'this kernel has no macvlan'],
  ] as const)('%s: %s', (errno, words) => {
    const said = saying(errno);
    expect(said).toContain(words);
    if (errno !== 'EEXIST') expect(said).not.toMatch(/exists|belongs/);
    expect(host.koiLinks()).toEqual([]);
  });
});

describe('the kernel fails for a while', () => {
  /** An attach whose last call was done and not answered, and nothing after it: the address is on, and could not be taken off. */
  async function failedAtLast() {
    const saboteur = new Saboteur();
    const spec = specOf(51);
    const attachment = host.attachment(spec, saboteur);
    attachment.prepare(cable.near);
    saboteur.disarm();
    await attachment.attach(cable.near);
    const last = saboteur.calls;
    attachment.detach();
    await attachment.remake();

    saboteur.arm((made) => (made < last ? undefined : made === last ? 'answer lost' : 'refused'));
    expect(await message(attachment.attach(cable.near))).toMatch(/^gw51: step addresses .*sabotaged/);
    return { saboteur, spec, attachment };
  }

  test('from the last step on: the addresses end by themselves, the next attach takes over what was left', async () => {
    const { saboteur, spec, attachment } = await failedAtLast();
    expect(host.holders(spec.addresses), 'nothing could take it off').toHaveLength(1);
    expect([attachment.token, host.renew(attachment)]).toEqual([undefined, []]);
    await host.monitor.waitFor(
      () => host.monitor.holdersOf(spec.addresses[0] ?? '').length === 0 || undefined,
      4000,
      'the end of the address',
    );
    saboteur.disarm();
    expect((await attachment.attach(cable.near)).valid).toBe(true);
    expect(host.koiLinks()).toHaveLength(1);
    await attachment.destroy();
    saboteur.netlink.close();
  });

  test('in the middle of an attach and of its undoing: what is left stays known, and the next detach takes it off', async () => {
    const { saboteur, spec, attachment } = await failedAtLast();
    expect(host.holders(spec.addresses)).toHaveLength(1);
    expect(() => attachment.detach(), 'no claim that it is off').toThrow(/would not go/);
    saboteur.disarm();
    expect(attachment.detach()).toBe('10.77.0.251 off');
    expect(host.holders(spec.addresses)).toEqual([]);
    await attachment.destroy();
    expect(host.koiLinks()).toEqual([]);
    saboteur.netlink.close();
  });

  test('while releasing: detach says what stays, tries again, and remake recovers', async () => {
    const saboteur = new Saboteur();
    const spec = specOf(51);
    const attachment = host.attachment(spec, saboteur);
    const token = await attachment.attach(cable.near);
    saboteur.arm(() => 'refused');
    expect(() => attachment.detach()).toThrow(/^gw51: step addresses .*10.77.0.251 would not go \(sabotaged\)/);
    expect(token.valid).toBe(false);
    saboteur.disarm();
    expect(attachment.detach()).toBe('10.77.0.251 off');

    saboteur.arm(() => 'refused');
    expect(await message(attachment.remake())).toMatch(/^gw51: step link .*deleting link \d+: sabotaged/);
    saboteur.disarm();
    attachment.prepare(cable.near);
    expect(host.koiLinks().map(({ flags }) => flags.up)).toEqual([false]);
    await attachment.destroy();
    saboteur.netlink.close();
  });

  test.each(['refused', 'answer lost'] as const)(
    'at the end, %s: what a failed attach could not delete, destroy does',
    async (fault) => {
      const saboteur = new Saboteur();
      const spec = specOf(51);
      const attachment = host.attachment(spec, saboteur);
      saboteur.arm((made) => (made > 4 ? fault : undefined));
      await expect(attachment.attach(cable.near)).rejects.toThrow(steps);
      saboteur.disarm();
      await attachment.destroy();
      expect(host.koiLinks()).toEqual([]);
      saboteur.netlink.close();
    },
  );
});

describe('a virtual MAC that is in use', () => {
  const spec = specOf(51);
  const squat = () => {
    ip(`link add squat link ${cable.nearName} address ${spec.virtualMac} type macvlan mode bridge`);
    ip('link set squat addrgenmode none');
    ip('link set squat up');
  };

  test('is waited for', async () => {
    let pauses = 0;
    const attachment = host.attachment(spec, {
      pause: (ms) => {
        pauses += 1;
        if (pauses === 3) ip('link del squat');
        return milliseconds(ms);
      },
    });
    attachment.prepare(cable.near);
    squat();
    const token = await attachment.attach(cable.near);
    expect(token.valid).toBe(true);
    expect(pauses).toBe(3);
  });

  test('for a quarter of a second; then the MAC is named', async () => {
    const attachment = host.attachment(spec);
    squat();
    try {
      const startMs = performance.now();
      expect(await message(attachment.attach(cable.near))).toMatch(
        /step link_up .*00:00:5e:00:01:33 is used by another link of the parent/,
      );
      expect(performance.now() - startMs).toBeLessThan(1000 + stallMs);
      await nothingLeft(spec);
    } finally {
      ip('link del squat');
    }
  });

  test('a release ends the waiting', async () => {
    let released = false;
    const attachment = host.attachment(spec, {
      pause: (ms) => {
        if (!released) attachment.detach();
        released = true;
        return milliseconds(ms);
      },
    });
    squat();
    try {
      expect(await message(attachment.attach(cable.near))).toMatch(/step link_up .*released meanwhile/);
    } finally {
      ip('link del squat');
    }
  });
});

describe('what stands in the way is named', () => {
  const spec = specOf(51);

  test('a parent that is down, without carrier, or gone', async () => {
    const attachment = host.attachment(spec);
    ip(`link set ${cable.nearName} down`);
    const down = await message(attachment.attach(cable.near));
    ip(`link set ${cable.nearName} up`);
    ip(`link set ${cable.farName} down`);
    await host.monitor.waitFor(
      () => host.monitor.links.get(cable.near)?.carrier === false || undefined,
      1000,
      'the carrier being lost',
    );
    const silent = await message(attachment.attach(cable.near));
    ip(`link set ${cable.farName} up`);
    await host.monitor.waitFor(
      () => host.monitor.links.get(cable.near)?.operstate === 'up' || undefined,
      1000,
      'the carrier being back',
    );
    expect(down).toMatch(new RegExp(`step parent .*${cable.nearName} is down`));
    expect(silent).toMatch(new RegExp(`step parent .*${cable.nearName} is (down|lowerLayerDown)`));
    expect(await message(attachment.attach(99_999))).toMatch(/step parent .*interface 99999/);
    expect((await attachment.attach(cable.near)).valid).toBe(true);
  });

  test('a parent that goes with everything on it', async () => {
    const other = await host.cable();
    const attachment = host.attachment(spec);
    const token = await attachment.attach(other.near);
    other.remove();
    host.monitor.drain();
    attachment.forgetLink();
    expect(token.valid).toBe(false);
    expect(attachment.detach()).toBe('there was no link');
    expect((await attachment.attach(cable.near)).valid).toBe(true);
    await attachment.destroy();
  });

  test('a parent that goes while the link is being made anew', async () => {
    const other = await host.cable();
    const attachment = host.attachment(spec);
    await attachment.attach(other.near);
    attachment.detach();
    const remade = attachment.remake();
    other.remove();
    const why = await message(
      remade.then(() => Promise.reject(new KoiError('internal', 'made on a parent that is gone'))),
    );
    expect(why).toMatch(/step link /);
    host.monitor.drain();
    attachment.forgetLink();
    expect((await attachment.attach(cable.near)).valid).toBe(true);
    await attachment.destroy();
  });

  test('a VIP that another interface has, with the command that helps', async () => {
    const attachment = host.attachment(spec);
    ip(`addr add 10.77.0.251/24 dev ${cable.farName}`);
    try {
      const why = await message(attachment.attach(cable.near));
      expect(why).toMatch(new RegExp(`step addresses .*10.77.0.251 is already on ${cable.farName}`));
      expect(why).toContain(`ip address del 10.77.0.251/24 dev ${cable.farName}`);
      await nothingLeft({ ...spec, addresses: [] });
    } finally {
      ip(`addr del 10.77.0.251/24 dev ${cable.farName}`);
    }
  });

  test("a name that is another interface's, another cluster's, another run's; none of them is touched", async () => {
    const attachment = host.attachment(spec);
    ip(`link add ${spec.linkName} type bridge`);
    const rejected = (step: () => unknown): string => {
      try {
        step();
      } catch (error) {
        if (error instanceof KoiError) return `${error.message}; ${error.remedy}`;
      }
      return 'accepted';
    };
    const prepare = () => rejected(() => attachment.prepare(cable.near));
    try {
      expect(prepare()).toMatch(/^gw51: step link .*belongs to an interface that is not koi's; rename that interface/);
      expect(await message(attachment.attach(cable.near))).toMatch(/step link /);
      ip(`link set ${spec.linkName} alias koi:lab:gw:boot1`);
      expect(prepare()).toMatch(/belongs to cluster lab, virtual router gw, of another run; stop the other koi/);
      ip(`link set ${spec.linkName} alias koi:edge:gw51:boot0`);
      expect(prepare()).toMatch(/belongs to cluster edge, virtual router gw51, of another run/);
      expect(ip(`link show ${spec.linkName}`)).toContain('koi:edge:gw51:boot0');
    } finally {
      ip(`link del ${spec.linkName}`);
    }
    attachment.prepare(cable.near);
    await attachment.destroy();
  });

  test('what this run itself left under the name is replaced, with its alias or before it had one', () => {
    for (const alias of [spec.alias, undefined]) {
      ip(
        `link add ${spec.linkName} link ${cable.nearName} address ${spec.virtualMac} group ${spec.group} type macvlan`,
      );
      if (alias !== undefined) ip(`link set ${spec.linkName} alias ${alias}`);
      const attachment = host.attachment(spec);
      attachment.prepare(cable.near);
      expect(host.koiLinks().map(({ ifindex, macvlanMode }) => [ifindex, macvlanMode])).toEqual([
        [attachment.linkIfindex, 'private'],
      ]);
      host.reset();
    }
  });
});

describe('the guard process', () => {
  const spec = specOf(51);

  test('refuses: the link goes down again, and no address was ever there', async () => {
    const attachment = host.attachment(spec, {
      register: () => Promise.reject(new KoiError('attach', 'no guard is running', { remedy: 'start one' })),
    });
    expect(await message(attachment.attach(cable.near))).toMatch(/step registered .*no guard is running; start one/);
    await nothingLeft(spec);
  });

  test('answers too late: released meanwhile, nothing is attached', async () => {
    let registered: () => void = () => undefined;
    const attachment = host.attachment(spec, { register: () => new Promise((resolve) => (registered = resolve)) });
    attachment.prepare(cable.near);
    const link = attachment.linkIfindex ?? 0;
    const attaching = message(attachment.attach(cable.near));
    await host.monitor.waitFor(() => host.monitor.links.get(link)?.flags.up || undefined, 1000, 'the link being up');
    attachment.detach();
    registered();
    expect(await attaching).toMatch(/step registered .*released meanwhile/);
    expect([attachment.token, host.holders(spec.addresses)]).toEqual([undefined, []]);
    setDown(host.netlink, link);
  });

  test('answers too late for the first of two attaches: the second counts', async () => {
    let registered: (() => void) | undefined;
    const attachment = host.attachment(spec, {
      register: () => (registered === undefined ? new Promise((resolve) => (registered = resolve)) : Promise.resolve()),
    });
    const first = message(attachment.attach(cable.near));
    await milliseconds(0);
    const second = await attachment.attach(cable.near);
    registered?.();
    expect(await first).toMatch(/released meanwhile/);
    expect(second.valid).toBe(true);
    expect(host.addressesOf(attachment.linkIfindex)).toHaveLength(1);
  });
});
