import {
  type AddressSpec,
  addAddresses,
  alreadyGone,
  dumpAddresses,
  removeAddresses,
  renewAddresses,
} from '../kernel/addresses.js';
import { configureLink, createMacvlan, deleteLink, getLink, type Link, setUp } from '../kernel/links.js';
import { ADDRESS_PROTO, parseAlias } from '../kernel/names.js';
import type { Ack, Netlink } from '../kernel/netlink.js';
import { confPath, readSysctlIfPresent } from '../kernel/sysctl.js';
import { KoiError } from '../koi-error.js';
import type { MacAddress } from '../wire/mac.js';
import { type Attached, grantAttached } from './attached.js';
import type { AddressEcho } from './echo.js';
import type { LinkBin } from './link-bin.js';
import { ReceiptBook } from './receipt.js';

/** Where one virtual router's virtual MAC and addresses go. */
export interface AttachSpec {
  readonly vr: string;
  readonly linkName: string;
  readonly alias: string;
  readonly group: number;
  readonly virtualMac: MacAddress;
  /** Virtual IPs, without prefix. */
  readonly addresses: readonly string[];
}

export interface AttachmentOptions {
  readonly spec: AttachSpec;
  readonly netlink: Netlink;
  readonly echo: AddressEcho;
  readonly bin: LinkBin;
  readonly now: () => number;
  /** Waits without blocking; the one way to wait here. */
  readonly pause: (ms: number) => Promise<void>;
  /** Step 2: throws KoiError `attach` where the guards of this parent cannot be in force. Returns the evidence. */
  readonly guards: (parentIfindex: number) => string;
  /** Tells the guard process what to take off if this process dies, and waits for its word. */
  readonly register: (linkIfindex: number) => Promise<void>;
}

/**
 * Replies to a virtual IP's clients leave by the parent, so strict reverse-path filtering (1) would drop the requests.
 * The kernel uses the larger of `all` and the link's own value: beside a strict `all` only loose (2) helps.
 */
function linkRpFilter(): 0 | 2 {
  return readSysctlIfPresent(confPath('all', 'rp_filter')) === '1' ? 2 : 0;
}

/** A vanished namespace frees its MAC after up to 22 ms (measured); the rest is margin. */
const macBusyDeadlineMs = 250;
/**
 * Addresses expire in the kernel by themselves when nobody renews them: whoever kills every process of Koi at once does
 * not leave an owner behind. Two seconds, seen by the kernel's own housekeeping at most 1.25 s later.
 */
export const addressLifetimeSeconds = 2;
export const renewEveryMs = 500;

/**
 * One virtual router's place in the kernel. In backup the link exists, down and without addresses; as master it is up
 * and has them. Every change is read back before the next one; a step that fails undoes those before it.
 *
 * The only way to an {@link Attached} token, and so to announcing.
 */
export class Attachment {
  readonly #options: AttachmentOptions;
  #parentIfindex: number | undefined;
  #link: number | undefined;
  #token: Attached | undefined;
  /** Changes with each attach and release: whoever waited in between finds out that it is too late. */
  #attempt = 0;
  #remaking: Promise<void> = Promise.resolve();

  constructor(options: AttachmentOptions) {
    this.#options = options;
  }

  /** Ifindex of the virtual-MAC link; undefined while it does not exist. */
  get linkIfindex(): number | undefined {
    return this.#link;
  }

  get token(): Attached | undefined {
    return this.#token;
  }

  /** Steps 1 to 3: the link exists on this parent, down, configured and read back. Idempotent. */
  prepare(parentIfindex: number): void {
    if (this.#link !== undefined && this.#parentIfindex === parentIfindex) return;
    this.#parentIfindex = parentIfindex;
    this.#options.guards(parentIfindex);
    this.#link = this.#makeLink(parentIfindex);
  }

  /** The parent is gone, and the kernel deleted the link with it. */
  forgetLink(): void {
    this.#attempt += 1;
    this.#token?.revoke();
    this.#token = undefined;
    this.#link = undefined;
    this.#parentIfindex = undefined;
  }

  /**
   * Steps 1 to 5, with receipts.
   * @throws KoiError `attach`, naming the step; the steps before it are undone.
   */
  async attach(parentIfindex: number): Promise<Attached> {
    this.#attempt += 1;
    const attempt = this.#attempt;
    await this.#remaking;
    this.#demandCurrent(attempt);
    const book = new ReceiptBook(this.#options.now);
    try {
      const parent = this.#demandParent(parentIfindex);
      book.prove('parent', `${parent.name} (ifindex ${parent.ifindex}) is ${parent.operstate}`);
      book.prove('guards', this.#options.guards(parentIfindex));
      this.#parentIfindex = parentIfindex;
      this.#link ??= this.#makeLink(parentIfindex);
      const link = this.#link;
      this.#demandRpFilter(link);
      book.prove('link', `${this.#options.spec.linkName} (ifindex ${link})`);
      const registered = this.#options.register(link);
      // Its failure is awaited below; until then it must not count as unhandled.
      registered.catch(() => undefined);
      book.prove('link_up', await this.#bringUp(link, attempt));
      await registered;
      this.#demandCurrent(attempt);
      book.prove('registered', 'the guard knows what to take off');
      book.prove('addresses', this.#addAddresses(link));
    } catch (error) {
      if (attempt === this.#attempt) this.#undo();
      throw error;
    }
    this.#token = grantAttached(this.#options.spec.vr, book.receipts);
    return this.#token;
  }

  /**
   * Takes the addresses off and reads back that they are gone. The link stays up for the farewell; `remake` follows.
   * @returns what was taken off, for a human.
   */
  detach(): string {
    this.#attempt += 1;
    this.#token?.revoke();
    this.#token = undefined;
    const link = this.#link;
    if (link === undefined) return 'there was no link';
    const { netlink } = this.#options;
    for (const ack of removeAddresses(netlink, this.#addressSpecs(link))) {
      if (!ack.ok && !alreadyGone(ack)) this.#escalate(ack);
    }
    const left = this.#presentAddresses(link);
    if (left.length > 0) throw this.#failed('addresses', `${left.join(', ')} would not go`);
    return `${this.#options.spec.addresses.join(', ')} off`;
  }

  /** After a release: deletes the link and makes it anew, down. In the background, since deleting waits for RCU. */
  remake(): Promise<void> {
    const link = this.#link;
    const parent = this.#parentIfindex;
    if (link === undefined || parent === undefined) return Promise.resolve();
    this.#link = undefined;
    this.#remaking = this.#remaking
      .then(() => this.#options.bin.discard(link))
      .then(() => {
        if (this.#parentIfindex === parent && this.#link === undefined) this.#link = this.#makeLink(parent);
      });
    // The next attach, or `destroy`, waits for it and meets the error there; nobody else does.
    this.#remaking.catch(() => undefined);
    return this.#remaking;
  }

  /** Starts the addresses' lifetimes anew. Those the kernel no longer has are left to the repair, and named. */
  renew(): readonly string[] {
    const link = this.#link;
    if (link === undefined || this.#token === undefined) return [];
    const present = new Set(this.#presentAddresses(link));
    const specs = this.#addressSpecs(link);
    const kept = specs.filter((spec) => present.has(spec.address));
    if (kept.length > 0) renewAddresses(this.#options.netlink, kept);
    return specs.filter((spec) => !present.has(spec.address)).map((spec) => spec.address);
  }

  /** Deletes the link for good. Idempotent. */
  async destroy(): Promise<void> {
    this.#attempt += 1;
    this.#token?.revoke();
    this.#token = undefined;
    await this.#remaking.catch(() => undefined);
    const link = this.#link;
    this.#link = undefined;
    this.#parentIfindex = undefined;
    if (link !== undefined) await this.#options.bin.discard(link);
  }

  // ── the steps ─────────────────────────────────────────────────────────────────────────────────────────────────────

  #demandParent(ifindex: number): Link {
    const answer = getLink(this.#options.netlink, ifindex);
    if (!answer.ok) throw this.#failed('parent', `interface ${ifindex}: ${answer.message}`);
    const parent = answer.value;
    const isUsable = parent.flags.up && parent.carrier && (parent.operstate === 'up' || parent.operstate === 'unknown');
    if (!isUsable) throw this.#failed('parent', `${parent.name} is ${parent.flags.up ? parent.operstate : 'down'}`);
    return parent;
  }

  /** Step 3. Exclusive creation with the MAC in the message, then one message of settings, all read back. */
  #makeLink(parentIfindex: number): number {
    const { netlink, spec } = this.#options;
    const { linkName: name, virtualMac: mac, group } = spec;
    const rpFilter = linkRpFilter();
    const created = createMacvlan(netlink, { name, parentIfindex, mac, mode: 'private', group });
    if (!created.ok) throw this.#failed('link', this.#whyNotCreated(created));
    const link = this.#readLink(name);
    const configured = configureLink(netlink, link.ifindex, {
      alias: spec.alias,
      addrGenModeNone: true,
      ipv4Conf: { arpIgnore: 1, arpAnnounce: 2, arpNotify: 0, rpFilter },
    });
    try {
      if (!configured.ok) throw this.#failed('link', `configuring it: ${configured.message}`);
      this.#demandConfigured(this.#readLink(link.ifindex), parentIfindex, rpFilter);
    } catch (error) {
      deleteLink(netlink, link.ifindex);
      throw error;
    }
    return link.ifindex;
  }

  #whyNotCreated(refused: Extract<Ack, { ok: false }>): string {
    const { spec, netlink } = this.#options;
    if (refused.errno === 'EOPNOTSUPP') return 'this kernel has no macvlan (CONFIG_MACVLAN, modprobe macvlan)';
    if (refused.errno !== 'EEXIST') return `creating it: ${refused.message}`;
    const other = getLink(netlink, spec.linkName);
    const alias = other.ok ? other.value.alias : undefined;
    const owner = alias === undefined ? undefined : parseAlias(alias);
    return owner === undefined
      ? `the name ${spec.linkName} belongs to an interface that is not koi's; rename that one`
      : `${spec.linkName} belongs to cluster ${owner.cluster}, virtual router ${owner.vr}; is another koi running here?`;
  }

  #demandConfigured(link: Link, parentIfindex: number, rpFilter: number): void {
    const { spec } = this.#options;
    const found = link.ipv4Conf;
    const faults = [
      link.kind === 'macvlan' && link.macvlanMode === 'private' ? '' : `mode ${link.macvlanMode}`,
      link.parentIfindex === parentIfindex ? '' : `parent ${link.parentIfindex}`,
      link.mac === spec.virtualMac ? '' : `MAC ${link.mac}`,
      link.alias === spec.alias ? '' : `alias ${link.alias}`,
      link.flags.up ? 'already up' : '',
      link.addrGenMode === undefined || link.addrGenMode === 'none' ? '' : `address generation ${link.addrGenMode}`,
      found?.arpIgnore === 1 ? '' : `arp_ignore ${found?.arpIgnore}`,
      found?.arpAnnounce === 2 ? '' : `arp_announce ${found?.arpAnnounce}`,
      found?.arpNotify === 0 ? '' : `arp_notify ${found?.arpNotify}`,
      found?.rpFilter === rpFilter ? '' : `rp_filter ${found?.rpFilter}`,
    ].filter((fault) => fault !== '');
    if (faults.length > 0) throw this.#failed('link', `the kernel reads back ${faults.join(', ')}`);
  }

  /** `all` may have changed since the link was made, and no event tells. */
  #demandRpFilter(link: number): void {
    const wanted = linkRpFilter();
    if (this.#readLink(link).ipv4Conf?.rpFilter === wanted) return;
    const ack = configureLink(this.#options.netlink, link, { ipv4Conf: { rpFilter: wanted } });
    const found = this.#readLink(link).ipv4Conf?.rpFilter;
    if (!ack.ok || found !== wanted) throw this.#failed('guards', `rp_filter reads back ${found}, not ${wanted}`);
  }

  /** Step 4. The MAC may still be held by a namespace that is being taken down: EADDRINUSE is retried. */
  async #bringUp(link: number, attempt: number): Promise<string> {
    const { netlink, now, pause, spec } = this.#options;
    const deadlineMs = now() + macBusyDeadlineMs;
    for (;;) {
      const ack = setUp(netlink, link);
      if (ack.ok) break;
      if (ack.errno !== 'EADDRINUSE' || now() >= deadlineMs) {
        const why =
          ack.errno === 'EADDRINUSE' ? `${spec.virtualMac} is used by another link of the parent` : ack.message;
        throw this.#failed('link_up', why);
      }
      await pause(1);
      this.#demandCurrent(attempt);
    }
    const found = this.#readLink(link);
    if (!found.flags.up || found.mac !== spec.virtualMac) {
      throw this.#failed('link_up', `the kernel reads back MAC ${found.mac}, ${found.flags.up ? 'up' : 'down'}`);
    }
    if (!found.flags.lowerUp) throw this.#failed('link_up', `its state is ${found.operstate}`);
    return `${found.mac} is ${found.operstate}`;
  }

  /** Step 5. All in one message batch; the receipt is the kernel's own notification of each. */
  #addAddresses(link: number): string {
    const { netlink, echo, spec } = this.#options;
    this.#refuseElsewhere(link);
    const acks = addAddresses(netlink, this.#addressSpecs(link));
    acks.forEach((ack, index) => {
      if (!ack.ok) throw this.#failed('addresses', `${spec.addresses[index]}: ${ack.message}`);
    });
    const missing = echo.missing(link, spec.addresses);
    if (missing.length > 0) throw this.#failed('addresses', `no usable echo for ${missing.join(', ')}`);
    return `${spec.addresses.join(', ')} on ${spec.linkName}`;
  }

  /** The same address on another interface would answer with that interface's MAC. */
  #refuseElsewhere(link: number): void {
    const answer = dumpAddresses(this.#options.netlink);
    if (!answer.ok) throw this.#failed('addresses', `reading the addresses: ${answer.message}`);
    const wanted = new Set(this.#options.spec.addresses);
    const other = answer.value.find((found) => wanted.has(found.address) && found.ifindex !== link);
    if (other === undefined) return;
    const holder = getLink(this.#options.netlink, other.ifindex);
    const name = holder.ok ? holder.value.name : `interface ${other.ifindex}`;
    throw this.#failed('addresses', `${other.address} is already on ${name}; remove it there`);
  }

  // ── the way back ──────────────────────────────────────────────────────────────────────────────────────────────────

  #undo(): void {
    if (this.#link === undefined) return;
    try {
      this.detach();
    } finally {
      void this.remake();
    }
  }

  /** An address that the kernel will not take off goes with its link. */
  #escalate(ack: Extract<Ack, { ok: false }>): void {
    if (this.#link === undefined) return;
    const link = this.#link;
    deleteLink(this.#options.netlink, link);
    const gone = getLink(this.#options.netlink, link);
    if (gone.ok) throw this.#failed('addresses', `removing them failed (${ack.message}) and so did deleting the link`);
    this.#link = undefined;
  }

  // ── reading ───────────────────────────────────────────────────────────────────────────────────────────────────────

  #readLink(target: number | string): Link {
    const answer = getLink(this.#options.netlink, target);
    if (!answer.ok) throw this.#failed('link', `reading it back: ${answer.message}`);
    return answer.value;
  }

  #presentAddresses(link: number): readonly string[] {
    return this.#options.echo.present(link, this.#options.spec.addresses);
  }

  #addressSpecs(ifindex: number): AddressSpec[] {
    return this.#options.spec.addresses.map((address) => ({
      ifindex,
      address,
      prefixLength: address.includes(':') ? 128 : 32,
      proto: ADDRESS_PROTO,
      validSeconds: addressLifetimeSeconds,
    }));
  }

  #demandCurrent(attempt: number): void {
    if (attempt !== this.#attempt) throw this.#failed('link_up', 'it was released meanwhile');
  }

  #failed(step: string, why: string): KoiError {
    const { vr, linkName } = this.#options.spec;
    return new KoiError('attach', `${vr}: step ${step} of the attach (${linkName}): ${why}`);
  }
}
