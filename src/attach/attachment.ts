import { type FailpointName, failpoints } from '../failpoint.js';
import {
  type Address,
  type AddressRemovals,
  type AddressRenewals,
  type AddressSpec,
  addAddresses,
  dumpAddresses,
  hostPrefixLength,
  removeAddresses,
} from '../kernel/addresses.js';
import { deleteLink, getLink, type Link, setDown, setUp } from '../kernel/links.js';
import { ADDRESS_PROTO } from '../kernel/names.js';
import type { Answer, Netlink } from '../kernel/netlink.js';
import { dumpProxyNeighbours } from '../kernel/proxy-neighbours.js';
import { KoiError } from '../koi-error.js';
import { rehearsals } from '../rehearsals.js';
import { familyOf } from '../wire/address.js';
import { type Attached, grantAttached } from './attached.js';
import type { AddressEcho } from './echo.js';
import { attachLockDeadlineMs, InterfaceLocks } from './interface-locks.js';
import { configureIpv6 } from './ipv6-link.js';
import type { LinkBin } from './link-bin.js';
import { type AttachStep, ReceiptBook } from './receipt.js';
import {
  findRemnant,
  type LinkPlace,
  makeVirtualMacLink,
  mendVirtualMacLink,
  readLink,
  type VirtualMacLinkSpec,
} from './virtual-mac-link.js';
import { addVirtualRoutes, removeVirtualRoutes, type VirtualRoute } from './virtual-routes.js';

/** Where one virtual router's virtual MAC and addresses go. */
export interface AttachSpec extends VirtualMacLinkSpec {
  readonly vr: string;
  /** Virtual IPs, without prefix. */
  readonly addresses: readonly string[];
  /** Added after the addresses, and removed before them. */
  readonly routes?: readonly VirtualRoute[];
}

/** A virtual-MAC link and the IPv6 addresses on it; for those of IPv4 a setting of the link is enough. */
export interface HushedLink extends Pick<Link, 'ifindex' | 'name'> {
  readonly ipv6: readonly string[];
}

/** The part of the kernel that an attachment works in. */
export interface AttachHost extends LinkPlace {
  readonly echo: AddressEcho;
  readonly bin: LinkBin;
  /** Step 2: throws KoiError where the guards of this parent cannot be in force. Returns the evidence. */
  readonly guards: (parentIfindex: number) => string;
  /** The parent, as the kernel has it now. Default: each time it is asked. */
  readonly parentLink?: (ifindex: number) => Answer<Link>;
  /** Has a virtual-MAC link answer for nothing, or again. Throws KoiError where it cannot, for IPv6 alone or for both. */
  readonly hush: (link: HushedLink, hushed: boolean) => void;
}

export interface AttachmentOptions extends AttachHost {
  readonly spec: AttachSpec;
  readonly now: () => number;
  /** Waits without blocking; the one way to wait here. */
  readonly pause: (ms: number) => Promise<void>;
  /** Resolves when it is its turn, where many make their links anew at once; until it waits again, it has it. Default: at once. */
  readonly turn?: () => Promise<void>;
  /** Tells the guard process what to take off if this process dies, and waits for its word. */
  readonly register: (linkIfindex: number, addresses: readonly string[]) => Promise<void>;
  /**
   * Our own duplicate check of IPv6 addresses, since the kernel's does not know of a master with the same virtual MAC.
   * Returns the evidence; throws KoiError where another host has one of them. Default: none.
   */
  readonly duplicates?: (addresses: readonly string[]) => Promise<string>;
  /** For how long the kernel is to keep an address that is not renewed; below 1: not at all. Default: two seconds. */
  readonly lifetimeSeconds?: () => number;
  /** Where ifupdown keeps its locks; default: where Debian has it. */
  readonly ifupdownDirectory?: string;
}

/** A vanished namespace frees its MAC after up to 22 ms (measured); the rest is margin. */
const macBusyDeadlineMs = 250;
/** IPv4 is echoed before it is acknowledged; IPv6 by a kernel worker, a moment afterwards. The rest is margin. */
const echoDeadlineMs = 250;
/**
 * Addresses expire in the kernel by themselves when nobody renews them: whoever kills every process of Koi at once does
 * not leave an owner behind. Two seconds, seen by the kernel's own housekeeping at most 1.25 s later.
 */
export const addressLifetimeSeconds = 2;
export const renewEveryMs = 500;
const nothing: readonly string[] = [];

/**
 * One virtual router's place in the kernel. In backup the link exists, down and without addresses; as master it is up
 * and has them. Every change is read back before the next one; a step that fails undoes those before it.
 *
 * The only way to an {@link Attached} token, and so to announcing.
 */
export class Attachment {
  #options: AttachmentOptions;
  #parentIfindex: number | undefined;
  #link: number | undefined;
  #token: Attached | undefined;
  /** Changes with each attach and release: whoever waited in between finds out that it is too late. */
  #attempt = 0;
  #remakes = 0;
  /** The link whose addresses have been taken off together with others', which is not read back yet. */
  #vacated: number | undefined;
  /** What is renewed, as long as it is the same. */
  #renewed:
    | {
        readonly link: number;
        readonly lifetimeSeconds: number;
        readonly addresses: readonly string[];
        readonly specs: readonly AddressSpec[];
      }
    | undefined;
  /** Of the attach or change that is under way. A release ends them: it waits for nobody. */
  #locks: InterfaceLocks | undefined;
  /** Settles when every deletion begun so far is over; never rejects. */
  #settled: Promise<void> = Promise.resolve();

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

  get spec(): AttachSpec {
    return this.#options.spec;
  }

  /**
   * Steps 1 to 3: the link exists on this parent, down, configured and read back, or is being made there by a `remake`.
   * Idempotent.
   * @throws KoiError naming virtual router and step; then there is no link. `timeout` where another program works on the
   * interface: nothing is waited for here.
   */
  prepare(parentIfindex: number): void {
    if (this.#parentIfindex === parentIfindex && (this.#link !== undefined || this.#remakes > 0)) return;
    if (this.#parentIfindex !== undefined && this.#parentIfindex !== parentIfindex) this.forgetLink();
    let step: AttachStep = 'guards';
    const locks = new InterfaceLocks(0);
    try {
      this.#options.guards(parentIfindex);
      step = 'link';
      this.#parentIfindex = parentIfindex;
      locks.demandAll(readLink(this.#parentNetlink, parentIfindex), this.spec.linkName, this.#lockPlace);
      this.#link = this.#makeLink(parentIfindex);
    } catch (error) {
      throw this.#named(step, error);
    } finally {
      locks.end();
    }
  }

  /**
   * Asks the kernel for what an attach asks, as far as that changes nothing in backup: the addresses are not there, and the
   * link is down. So the first takeover finds that code compiled, and does not wait for it.
   */
  rehearse(): void {
    const link = this.#link;
    const parent = this.#parentIfindex;
    if (link === undefined || parent === undefined || this.#token !== undefined || this.#locks !== undefined) return;
    const { netlink, echo, spec, guards } = this.#options;
    for (let round = 0; round < rehearsals; round++) {
      guards(parent);
      getLink(this.#parentNetlink, parent);
      setDown(netlink, link);
      readLink(netlink, link);
      removeAddresses(netlink, this.#addressSpecs(link));
      echo.missing(link, spec.addresses);
      this.#holders();
    }
  }

  /** From now on in another part of the kernel: what was in the one before is given up, or went with it. */
  moveTo(host: AttachHost): void {
    this.forgetLink();
    const { netns, parentNetlink, parentLink, ...rest } = this.#options;
    this.#options = { ...rest, ...host };
  }

  /** Resolves when every deletion begun so far is over; never rejects. */
  get settled(): Promise<void> {
    return this.#settled;
  }

  /** The parent is gone, and the kernel deleted the link with it; or it left the namespace and the link stayed behind. */
  forgetLink(): void {
    this.#supersede();
    this.#leaveParent();
  }

  /**
   * Steps 1 to 5 and the routes, with receipts.
   * @throws KoiError naming virtual router and step; the steps before it are undone.
   */
  async attach(parentIfindex: number): Promise<Attached> {
    const attempt = this.#supersede();
    this.#vacated = undefined;
    if (this.#remakes > 0) this.#options.bin.hurry();
    await this.#settled;
    const { spec, now, guards, register, netns } = this.#options;
    const book = new ReceiptBook(now);
    let step: AttachStep = 'parent';
    try {
      this.#demandCurrent(attempt);
      const locks = this.#lockAnew();
      const guarding = await locks.guards(netns);
      const parent = await this.#lockParent(locks, parentIfindex);
      this.#demandCurrent(attempt);
      const unprotected = locks.warnings.map((warning) => `; ${warning}`).join('');
      book.prove(step, `${parent.name} (ifindex ${parent.ifindex}) is ${parent.operstate}${unprotected}`);
      if (failpoints !== undefined) await this.#reached('attach.parent', attempt);

      step = 'guards';
      book.prove(step, guards(parentIfindex));
      guarding.release();
      if (failpoints !== undefined) await this.#reached('attach.guards', attempt);

      step = 'link';
      await locks.link(spec.linkName, netns);
      this.#demandCurrent(attempt);
      const link = this.#demandLink(parentIfindex);
      const ipv6Settings = this.#hasIpv6 ? `; IPv6: ${configureIpv6(spec.linkName, parent.name, netns)}` : '';
      book.prove(step, `${spec.linkName} (ifindex ${link}) is down, its settings read back${ipv6Settings}`);
      if (failpoints !== undefined) await this.#reached('attach.link', attempt);

      const registered = register(link, spec.addresses);
      // Its failure is awaited below; until then it must not count as unhandled.
      registered.catch(() => undefined);
      step = 'link_up';
      book.prove(step, await this.#bringUp(link, attempt));
      if (failpoints !== undefined) await this.#reached('attach.link_up', attempt);

      step = 'registered';
      await registered;
      this.#demandCurrent(attempt);
      book.prove(step, 'the guard knows what to take off');
      if (failpoints !== undefined) await this.#reached('attach.registered', attempt);

      const ipv6 = spec.addresses.filter((address) => familyOf(address) === 6);
      if (ipv6.length > 0 && this.#options.duplicates !== undefined) {
        step = 'duplicates';
        book.prove(step, await this.#askForDuplicates(ipv6, link, parentIfindex, attempt));
        if (failpoints !== undefined) await this.#reached('attach.duplicates', attempt);
      }

      step = 'addresses';
      book.prove(step, await this.#addAddresses(link, parentIfindex, attempt));
      if (failpoints !== undefined) await this.#reached('attach.addresses', attempt);

      if (spec.routes !== undefined && spec.routes.length > 0) {
        step = 'routes';
        book.prove(step, addVirtualRoutes(this.#options.netlink, spec.routes, link));
        if (failpoints !== undefined) await this.#reached('attach.routes', attempt);
      }
    } catch (error) {
      if (attempt === this.#attempt) this.#undo();
      throw this.#named(step, error);
    }
    this.#locks?.end();
    this.#token = grantAttached(spec.vr, book.receipts);
    return this.#token;
  }

  /**
   * Has the addresses taken off together with those of others, once `removals` are sent. To be followed, in the same turn of
   * the loop, by `detach`, which reads back that they are gone.
   */
  vacate(removals: AddressRemovals): void {
    this.#supersede();
    const link = this.#link;
    if (link === undefined) return;
    const { netlink, spec } = this.#options;
    removeVirtualRoutes(netlink, spec.routes ?? [], link);
    removals.put(netlink, this.#addressSpecs(link));
    this.#vacated = link;
  }

  /**
   * Takes the addresses off and reads back that they are gone. No lock is asked for: what is ours may always be removed,
   * whoever works on the interface, and an attach that is under way gives up at its next step. The link stays up for the farewell; `remake` follows.
   * An address that the kernel will not take off goes with its link.
   * @returns what was taken off, for a human.
   * @throws KoiError where neither helped.
   */
  detach(): string {
    this.#supersede();
    const link = this.#link;
    if (link === undefined) return 'there was no link';
    const { netlink, echo, spec } = this.#options;
    const isVacated = this.#vacated === link && echo.present(link, spec.addresses).length === 0;
    this.#vacated = undefined;
    if (!isVacated) removeVirtualRoutes(netlink, spec.routes ?? [], link);
    failpoints?.passed('detach.routes');
    const acks = isVacated ? [] : removeAddresses(netlink, this.#addressSpecs(link));
    failpoints?.passed('detach.addresses');
    const left = isVacated ? [] : echo.present(link, spec.addresses);
    if (left.length === 0) return `${spec.addresses.join(', ')} off`;
    deleteLink(netlink, link);
    const stillThere = echo.present(link, spec.addresses);
    if (stillThere.length > 0) {
      const refusal = acks.find((ack) => !ack.ok);
      const why = refusal === undefined || refusal.ok ? '' : ` (${refusal.message})`;
      const what = `${stillThere.join(', ')} would not go${why}, and deleting the link did not help`;
      throw this.#named('addresses', new KoiError('attach', what));
    }
    this.#link = undefined;
    return `${spec.addresses.join(', ')} off, with the link`;
  }

  /**
   * After a release: deletes the link and makes it anew, down. In the background, since deleting waits for RCU.
   * @param isPatient nobody waits for it: where many are released at once it is left until others have taken over
   * @throws KoiError naming virtual router and step; the next `prepare` or `attach` tries again. `timeout` where another
   * program works on the interface.
   */
  remake(isPatient = false): Promise<void> {
    const link = this.#link;
    const parent = this.#parentIfindex;
    if (parent === undefined) return Promise.resolve();
    this.#link = undefined;
    this.#remakes += 1;
    return this.#afterOthers(async () => {
      const locks = new InterfaceLocks(0);
      try {
        if (failpoints !== undefined) await failpoints.reached('detach.link_given_up');
        if (link !== undefined) await this.#options.bin.discard(link, isPatient);
        if (failpoints !== undefined) await failpoints.reached('detach.link_deleted');
        // Those that were deleted together all come here together.
        await this.#options.turn?.();
        if (this.#parentIfindex !== parent || this.#link !== undefined) return;
        locks.demandAll(readLink(this.#parentNetlink, parent), this.spec.linkName, this.#lockPlace);
        this.#link = this.#makeLink(parent);
      } catch (error) {
        throw this.#named('link', error);
      } finally {
        this.#remakes -= 1;
        locks.end();
      }
    });
  }

  /**
   * While it is hushed nobody is told where the virtual MAC is, and no request for the addresses is answered; what is sent
   * to them arrives as before. A release ends it.
   * @throws KoiError naming virtual router and step; then it is as before, or hushed for IPv4 alone
   */
  hush(hushed: boolean): void {
    const ifindex = this.#link;
    if (ifindex === undefined || this.#token === undefined) return;
    try {
      const { linkName: name, addresses } = this.#options.spec;
      this.#options.hush({ ifindex, name, ipv6: addresses.filter((each) => familyOf(each) === 6) }, hushed);
    } catch (error) {
      throw this.#named('guards', error);
    }
  }

  /**
   * Starts the addresses' lifetimes anew, once `renewals` are sent. Those the kernel no longer has are left to the repair,
   * and named. What the kernel has told of addresses is to have been read just before.
   */
  renew(renewals: AddressRenewals): readonly string[] {
    const link = this.#link;
    if (link === undefined || this.#token === undefined) return nothing;
    const { netlink, echo, spec } = this.#options;
    const lifetimeSeconds = this.#lifetimeSeconds;
    const specs = lifetimeSeconds < 1 ? [] : this.#specsToRenew(link, lifetimeSeconds);
    if (spec.addresses.every((address) => echo.wasPresent(link, address))) {
      renewals.put(netlink, specs);
      return nothing;
    }
    const missing = spec.addresses.filter((address) => !echo.wasPresent(link, address));
    renewals.put(
      netlink,
      specs.filter(({ address }) => !missing.includes(address)),
    );
    return missing;
  }

  /** The same objects as long as they say the same: their messages are built once. */
  #specsToRenew(link: number, lifetimeSeconds: number): readonly AddressSpec[] {
    const { addresses } = this.#options.spec;
    const known = this.#renewed;
    const isSame = known?.link === link && known.lifetimeSeconds === lifetimeSeconds && known.addresses === addresses;
    if (isSame) return known.specs;
    const specs = this.#addressSpecs(link);
    this.#renewed = { link, lifetimeSeconds, addresses, specs };
    return specs;
  }

  /**
   * Has other addresses from now on. While attached, the new ones are added and read back before those that leave are
   * taken off; those that stay are not touched. Not to be called while an attach is under way.
   * @throws KoiError naming virtual router and step; then the addresses are those of before.
   */
  async changeAddresses(addresses: readonly string[]): Promise<void> {
    const before = this.#options;
    const { spec, netlink, echo, register } = before;
    const link = this.#link;
    const parent = this.#parentIfindex;
    this.#options = { ...before, spec: { ...spec, addresses } };
    if (this.#token === undefined || link === undefined || parent === undefined) return;
    const attempt = this.#attempt;
    const added = addresses.filter((address) => !spec.addresses.includes(address));
    const removed = spec.addresses.filter((address) => !addresses.includes(address));
    try {
      await register(link, [...new Set([...spec.addresses, ...addresses])]);
      this.#demandCurrent(attempt);
      if (failpoints !== undefined) await this.#reached('change.registered', attempt);
      const ipv6 = added.filter((address) => familyOf(address) === 6);
      if (ipv6.length > 0) await before.duplicates?.(ipv6);
      this.#demandCurrent(attempt);
      await this.#lockAttached(parent, attempt);
      await this.#addAddresses(link, parent, attempt, added);
      if (failpoints !== undefined) await this.#reached('change.added', attempt);
      removeAddresses(netlink, this.#addressSpecs(link, removed));
      const left = echo.present(link, removed);
      if (left.length > 0) throw new KoiError('attach', `${left.join(', ')} would not go`);
      if (failpoints !== undefined) await this.#reached('change.removed', attempt);
      await register(link, addresses);
    } catch (error) {
      if (attempt === this.#attempt) {
        removeAddresses(netlink, this.#addressSpecs(link, added));
        addAddresses(netlink, this.#addressSpecs(link, removed));
      }
      this.#options = before;
      throw this.#named('addresses', error);
    } finally {
      if (attempt === this.#attempt) this.#locks?.end();
    }
  }

  /** Tells the guard again, with what it shall send now. */
  async registerAgain(): Promise<void> {
    const { register, spec } = this.#options;
    if (this.#token !== undefined && this.#link !== undefined) await register(this.#link, spec.addresses);
  }

  /** Deletes the link for good, whoever has its lock: it is ours by its alias. Idempotent. */
  async destroy(): Promise<void> {
    this.#supersede();
    if (this.#remakes > 0) this.#options.bin.hurry();
    await this.#settled;
    const { netlink, spec, bin } = this.#options;
    const link = this.#link ?? findRemnant(netlink, spec);
    this.#link = undefined;
    this.#parentIfindex = undefined;
    if (link !== undefined) await bin.discard(link);
  }

  // ── the locks ─────────────────────────────────────────────────────────────────────────────────────────────────────

  /** For the attach or change that begins. */
  #lockAnew(): InterfaceLocks {
    this.#locks?.end();
    this.#locks = new InterfaceLocks(attachLockDeadlineMs);
    return this.#locks;
  }

  get #lockPlace() {
    return { netns: this.#options.netns, directory: this.#options.ifupdownDirectory };
  }

  /** The parent, usable, and nobody else works on it. */
  async #lockParent(locks: InterfaceLocks, ifindex: number): Promise<Link> {
    await locks.parent(ifindex);
    const parent = this.#demandParent(ifindex);
    const { waited } = await locks.ifupdown(parent.name, this.#options.ifupdownDirectory);
    return waited ? this.#demandParent(ifindex) : parent;
  }

  /** While the link is in use. */
  async #lockAttached(parentIfindex: number, attempt: number): Promise<void> {
    const locks = this.#lockAnew();
    await this.#lockParent(locks, parentIfindex);
    await locks.link(this.spec.linkName, this.#options.netns);
    this.#demandCurrent(attempt);
  }

  /** The answers come from the LAN, or do not come, and nobody else waits for that: the locks are given back meanwhile. */
  async #askForDuplicates(ipv6: readonly string[], link: number, parent: number, attempt: number): Promise<string> {
    this.#locks?.end();
    const evidence = (await this.#options.duplicates?.(ipv6)) ?? 'not asked';
    this.#demandCurrent(attempt);
    await this.#lockAttached(parent, attempt);
    this.#demandUp(link);
    return evidence;
  }

  // ── the steps ─────────────────────────────────────────────────────────────────────────────────────────────────────

  #demandParent(ifindex: number): Link {
    const { parentLink } = this.#options;
    const answer = parentLink === undefined ? getLink(this.#parentNetlink, ifindex) : parentLink(ifindex);
    if (!answer.ok) throw new KoiError('attach', `interface ${ifindex}: ${answer.message}`);
    const parent = answer.value;
    const isUsable = parent.flags.up && parent.carrier && (parent.operstate === 'up' || parent.operstate === 'unknown');
    if (isUsable) return parent;
    throw new KoiError('attach', `${parent.name} is ${parent.flags.up ? parent.operstate : 'down'}`);
  }

  /** Step 3. The link that waits in backup, if nobody has changed it beyond repair. */
  #demandLink(parentIfindex: number): number {
    const { netlink, spec } = this.#options;
    if (this.#parentIfindex !== parentIfindex) this.#leaveParent();
    this.#parentIfindex = parentIfindex;
    const link = this.#link;
    if (link !== undefined) {
      if (mendVirtualMacLink(this.#options, spec, parentIfindex, link)) return link;
      this.#link = undefined;
      deleteLink(netlink, link);
    }
    this.#link = this.#makeLink(parentIfindex);
    return this.#link;
  }

  #makeLink(parentIfindex: number): number {
    const { netlink, netns, spec } = this.#options;
    const link = makeVirtualMacLink(this.#options, spec, parentIfindex);
    if (!this.#hasIpv6) return link;
    try {
      configureIpv6(spec.linkName, readLink(this.#parentNetlink, parentIfindex).name, netns);
    } catch (error) {
      deleteLink(netlink, link);
      throw error;
    }
    return link;
  }

  /** Step 4. The MAC may still be held by a namespace that is being taken down: EADDRINUSE is retried. */
  async #bringUp(link: number, attempt: number): Promise<string> {
    const { netlink, now, pause, spec } = this.#options;
    const deadlineMs = now() + macBusyDeadlineMs;
    for (;;) {
      const ack = setUp(netlink, link);
      if (ack.ok) break;
      const isBusy = ack.errno === 'EADDRINUSE';
      if (!isBusy || now() >= deadlineMs) {
        throw new KoiError('attach', isBusy ? `${spec.virtualMac} is used by another link of the parent` : ack.message);
      }
      await pause(1);
      this.#demandCurrent(attempt);
    }
    failpoints?.passed('attach.link_set_up');
    return this.#demandUp(link);
  }

  #demandUp(link: number): string {
    const { netlink, spec } = this.#options;
    const found = readLink(netlink, link);
    if (!found.flags.up || found.mac !== spec.virtualMac) {
      throw new KoiError('attach', `the kernel reads back MAC ${found.mac}, ${found.flags.up ? 'up' : 'down'}`);
    }
    if (!found.flags.lowerUp) throw new KoiError('attach', `its state is ${found.operstate}`);
    return `${found.mac} is ${found.operstate}`;
  }

  /** Step 5. All in one message batch; the receipt is the kernel's own notification of each. */
  async #addAddresses(
    link: number,
    parentIfindex: number,
    attempt: number,
    added = this.#options.spec.addresses,
  ): Promise<string> {
    const { netlink, echo, spec, now, pause } = this.#options;
    this.#refuseElsewhere(link, parentIfindex);
    if (this.#hasIpv6) this.#refuseProxied();
    if (this.#lifetimeSeconds < 1) {
      throw new KoiError(
        'attach',
        'the lease of this node ends too soon for the kernel to take an address off in time',
      );
    }
    const acks = addAddresses(netlink, this.#addressSpecs(link, added));
    acks.forEach((ack, index) => {
      if (!ack.ok) throw new KoiError('attach', `${added[index]}: ${ack.message}`);
    });
    failpoints?.passed('attach.addresses_added');
    const deadlineMs = now() + echoDeadlineMs;
    for (let missing = echo.missing(link, added); missing.length > 0; missing = echo.missing(link, added)) {
      if (now() >= deadlineMs) throw new KoiError('attach', `no usable echo for ${missing.join(', ')}`);
      await pause(1);
      this.#demandCurrent(attempt);
    }
    return `${spec.addresses.join(', ')} on ${spec.linkName}`;
  }

  /** The same address on another interface would answer with that interface's MAC. */
  #refuseElsewhere(link: number, parentIfindex: number): void {
    const { netlink } = this.#options;
    // A link-local address belongs to its link alone: fe80::1 may be the gateway of every VLAN.
    const isOnLink = (found: Address): boolean => {
      if (found.scope !== 'link') return true;
      const holder = getLink(netlink, found.ifindex);
      const isParent = this.#options.netns === undefined && found.ifindex === parentIfindex;
      return isParent || (holder.ok && holder.value.parentIfindex === parentIfindex);
    };
    const other = this.#holders().find((found) => found.ifindex !== link && isOnLink(found));
    if (other === undefined) return;
    const holder = getLink(netlink, other.ifindex);
    const name = holder.ok ? holder.value.name : `interface ${other.ifindex}`;
    throw new KoiError('attach', `${other.address} is already on ${name}`, {
      remedy: `ip address del ${other.address}/${other.prefixLength} dev ${name}`,
    });
  }

  /** A new IPv6 address is told a moment late, so the kernel's table is read; it has all of this host's addresses. */
  #holders(): readonly Address[] {
    const { netlink, echo, spec } = this.#options;
    if (!this.#hasIpv6) return echo.holders(spec.addresses);
    const answer = dumpAddresses(netlink);
    if (!answer.ok) throw new KoiError('attach', `reading the addresses: ${answer.message}`);
    const wanted = new Set(spec.addresses);
    return answer.value.filter(({ address }) => wanted.has(address));
  }

  /** Whoever proxies an address answers for it with another MAC. */
  #refuseProxied(): void {
    const { netlink, spec } = this.#options;
    const answer = dumpProxyNeighbours(netlink);
    if (!answer.ok) throw new KoiError('attach', `reading the proxied neighbours: ${answer.message}`);
    const proxied = answer.value.find(({ address }) => spec.addresses.includes(address));
    if (proxied === undefined) return;
    const holder = getLink(netlink, proxied.ifindex);
    const name = holder.ok ? holder.value.name : `interface ${proxied.ifindex}`;
    throw new KoiError('attach', `${name} answers for ${proxied.address} with its own MAC (proxy_ndp)`, {
      remedy: `ip -6 neigh del proxy ${proxied.address} dev ${name}`,
    });
  }

  get #parentNetlink(): Netlink {
    return this.#options.parentNetlink ?? this.#options.netlink;
  }

  get #hasIpv6(): boolean {
    return this.#options.spec.addresses.some((address) => familyOf(address) === 6);
  }

  // ── the way back ──────────────────────────────────────────────────────────────────────────────────────────────────

  /** Whatever was granted or is under way no longer counts. */
  #supersede(): number {
    this.#token?.revoke();
    this.#token = undefined;
    this.#locks?.end();
    this.#locks = undefined;
    this.#attempt += 1;
    return this.#attempt;
  }

  #undo(): void {
    try {
      this.detach();
    } catch {
      // The reason for undoing is the error to tell. The link stays known, so that the next `detach` can try again;
      // without one the addresses go when their lifetime ends.
      return;
    }
    void this.remake().catch(() => undefined);
  }

  /** A link of a parent that left this namespace would keep its addresses here. */
  #leaveParent(): void {
    const link = this.#link;
    this.#link = undefined;
    this.#parentIfindex = undefined;
    if (link === undefined) return;
    removeVirtualRoutes(this.#options.netlink, this.#options.spec.routes ?? [], link);
    removeAddresses(this.#options.netlink, this.#addressSpecs(link));
    void this.#afterOthers(() => this.#options.bin.discard(link)).catch(() => undefined);
  }

  /** Runs what deletes after the deletions before it; whoever attaches waits for all of them. */
  #afterOthers(act: () => Promise<void>): Promise<void> {
    const acted = this.#settled.then(act);
    this.#settled = acted.catch(() => undefined);
    return acted;
  }

  #addressSpecs(ifindex: number, addresses = this.#options.spec.addresses): AddressSpec[] {
    return addresses.map((address) => ({
      ifindex,
      address,
      prefixLength: hostPrefixLength(address),
      proto: ADDRESS_PROTO,
      validSeconds: this.#lifetimeSeconds,
    }));
  }

  get #lifetimeSeconds(): number {
    return this.#options.lifetimeSeconds?.() ?? addressLifetimeSeconds;
  }

  #demandCurrent(attempt: number): void {
    if (attempt !== this.#attempt) throw new KoiError('attach', 'it was released meanwhile');
  }

  async #reached(name: FailpointName, attempt: number): Promise<void> {
    await failpoints?.reached(name);
    this.#demandCurrent(attempt);
  }

  #named(step: AttachStep, error: unknown): KoiError {
    const { vr, linkName } = this.#options.spec;
    const known = error instanceof KoiError ? error : undefined;
    const why = error instanceof Error ? error.message : String(error);
    return new KoiError(known?.code ?? 'attach', `${vr}: step ${step} of the attach (${linkName}): ${why}`, {
      cause: error,
      ...(known?.remedy === undefined ? {} : { remedy: known.remedy }),
    });
  }
}
