import { parseVirtualAddress } from '../config/address.js';
import type { Directive } from './keepalived-parser.js';
import type { Place } from './keepalived-text.js';
import { adviceFor } from './left-out-advice.js';

/** A statement that Koi's configuration does not say, or not in full. */
export interface LeftOut {
  readonly place: Place;
  readonly directive: string;
  readonly reason: string;
  readonly remedy: string;
}

export interface ImportedRouter {
  readonly place: Place;
  /** Entries of `virtualRouters[]`, each with the line it comes from. */
  readonly entries: readonly { readonly key: string; readonly value: unknown; readonly line: number }[];
}

export interface Imported {
  readonly routers: readonly ImportedRouter[];
  readonly leftOut: readonly LeftOut[];
  /** The statements that are carried over in full. */
  readonly carried: ReadonlySet<Directive>;
}

/** Says in Koi's words what a keepalived.conf says; each statement is either carried over or listed. */
export function mapKeepalived(directives: readonly Directive[]): Imported {
  return new Mapping(directives).run();
}

const secretNames = ['auth_pass', 'key'];

class Mapping {
  readonly #directives: readonly Directive[];
  readonly #carried = new Set<Directive>();
  readonly #leftOut: LeftOut[] = [];
  readonly #groupOf = new Map<string, string>();
  readonly #addresses = new Set<string>();
  #version = '2';

  constructor(directives: readonly Directive[]) {
    this.#directives = directives;
  }

  run(): Imported {
    for (const directive of this.#directives) {
      if (directive.name === 'global_defs') this.#readGlobals(directive);
      else if (directive.name === 'vrrp_sync_group') this.#readGroup(directive);
      else if (directive.name !== 'vrrp_instance') this.#leave(directive);
    }
    const instances = this.#directives.filter(({ name }) => name === 'vrrp_instance');
    const routers = instances.map((instance) => this.#readInstance(instance));
    return { routers, leftOut: this.#leftOut, carried: this.#carried };
  }

  #readGlobals(globals: Directive): void {
    this.#carried.add(globals);
    for (const directive of globals.block ?? []) {
      if (directive.name === 'vrrp_version' && /^[23]$/.test(directive.values[0] ?? '')) {
        this.#version = directive.values[0] ?? '2';
        this.#carried.add(directive);
      } else this.#leave(directive);
    }
  }

  #readGroup(group: Directive): void {
    const name = group.values[0] ?? '';
    if (!usableName(name)) {
      this.#leave(
        group,
        `'${name}' cannot name a group`,
        'give the members a syncGroup of up to 32 letters and digits',
      );
      return;
    }
    this.#carried.add(group);
    for (const directive of group.block ?? []) {
      // Older files name the members without a `group` block.
      const bare = directive.block === undefined && this.#isInstance(directive.name);
      if (directive.name !== 'group' && !bare) {
        this.#leave(directive);
        continue;
      }
      this.#carried.add(directive);
      for (const member of bare ? [directive] : (directive.block ?? [])) {
        if (this.#isInstance(member.name)) {
          this.#groupOf.set(member.name, name);
          this.#carried.add(member);
        } else this.#leave(member, `there is no vrrp_instance ${member.name}`, 'name an instance of this file');
      }
    }
  }

  #isInstance(name: string): boolean {
    return this.#directives.some((directive) => directive.name === 'vrrp_instance' && directive.values[0] === name);
  }

  #readInstance(instance: Directive): ImportedRouter {
    const entries: { key: string; value: unknown; line: number }[] = [];
    const set = (key: string, value: unknown, from: Directive): void => {
      entries.push({ key, value, line: from.place.line });
      this.#carried.add(from);
    };
    const block = instance.block ?? [];
    const name = instance.values[0] ?? '';
    set('name', name, instance);
    const addresses = block.find((directive) => directive.name === 'virtual_ipaddress');
    const version = block.find((directive) => directive.name === 'version');
    const six = addresses?.block?.some((entry) => entry.name.includes(':')) === true;
    const protocol = six || (version?.values[0] ?? this.#version) === '3' ? 'vrrp3' : 'vrrp2';
    set('protocol', protocol, version ?? instance);
    const seen = new Set<string>();
    for (const directive of block) {
      const [value = ''] = directive.values;
      if (directive === version) continue;
      if (seen.has(directive.name)) {
        this.#leave(directive, 'it is said twice', 'keep one of them');
        continue;
      }
      seen.add(directive.name);
      switch (directive.name) {
        case 'interface':
          set('interface', value, directive);
          break;
        case 'virtual_router_id':
          set('id', Number(value), directive);
          break;
        case 'priority':
          set('priority', Number(value), directive);
          break;
        case 'advert_int':
          if (/^\d+(\.\d+)?$/.test(value)) set('advertInterval', `${Math.round(Number(value) * 1000)}ms`, directive);
          else this.#leave(directive, `'${value}' is no number of seconds`, 'write advertInterval yourself');
          break;
        case 'nopreempt':
          set('preempt', { enabled: false }, directive);
          break;
        case 'preempt_delay':
          if (!block.some((other) => other.name === 'nopreempt') && /^\d+(\.\d+)?$/.test(value)) {
            set('preempt', { delay: `${Math.round(Number(value) * 1000)}ms` }, directive);
          } else this.#leave(directive, 'with nopreempt there is nothing to delay', 'remove it');
          break;
        case 'no_accept':
          set('accept', false, directive);
          break;
        case 'virtual_ipaddress':
          set('addresses', this.#readAddresses(directive), directive);
          break;
        case 'unicast_peer':
          set('unicast', this.#readPeers(directive, block), directive);
          break;
        case 'unicast_src_ip':
          if (!block.some((other) => other.name === 'unicast_peer')) this.#leave(directive);
          break;
        case 'authentication': {
          const type = directive.block?.find((entry) => entry.name === 'auth_type');
          const password = directive.block?.find((entry) => entry.name === 'auth_pass');
          if (protocol !== 'vrrp2' || type?.values[0] !== 'PASS' || password === undefined) {
            this.#leave(directive);
            break;
          }
          const passwordFile = `/etc/koi/${name}.pass`;
          set('vrrp2', { auth: { type: 'pass', passwordFile } }, directive);
          for (const entry of directive.block ?? []) {
            if (entry === password)
              this.#leave(entry, 'a password has a file', `write it to ${passwordFile}, mode 0600`);
            else if (entry === type) this.#carried.add(entry);
            else this.#leave(entry);
          }
          break;
        }
        case 'use_vmac':
          if (directive.values.length === 0) this.#carried.add(directive);
          else this.#leave(directive, 'Koi names its links itself, and their MAC is the protocol’s', 'remove it');
          break;
        default:
          this.#leave(directive);
      }
    }
    const group = this.#groupOf.get(name);
    if (group !== undefined) set('syncGroup', group, instance);
    return { place: instance.place, entries };
  }

  #readAddresses(list: Directive): unknown[] {
    return (list.block ?? []).flatMap((entry): unknown[] => {
      const parsed = parseVirtualAddress(entry.name);
      if (!parsed.ok || this.#addresses.has(parsed.value.address)) {
        const reason = parsed.ok ? `${entry.name} is already in the file` : parsed.message;
        this.#leave(entry, reason, parsed.ok ? 'an address has one virtual router' : parsed.remedy);
        return [];
      }
      this.#addresses.add(parsed.value.address);
      const [first, device] = entry.values;
      if (entry.values.length === 2 && first === 'dev' && device !== undefined) {
        this.#carried.add(entry);
        return [{ address: entry.name, interface: device }];
      }
      if (entry.values.length === 0) this.#carried.add(entry);
      else {
        const at = entry.values.indexOf('dev');
        const other = at < 0 ? undefined : entry.values[at + 1];
        const remedy = 'Koi adds host addresses without them; hosts see no difference';
        this.#leave(entry, `the address is carried over, its options are not: ${entry.values.join(' ')}`, remedy);
        if (other !== undefined) return [{ address: entry.name, interface: other }];
      }
      return [entry.name];
    });
  }

  #readPeers(list: Directive, block: readonly Directive[]): unknown {
    const source = block.find((directive) => directive.name === 'unicast_src_ip');
    if (source !== undefined) this.#carried.add(source);
    const peers = (list.block ?? []).map((peer) => {
      if (peer.values.length === 0) this.#carried.add(peer);
      else this.#leave(peer, 'the peer is carried over, its limits of the TTL are not', 'set unicast.minTtl');
      return peer.name;
    });
    return { ...(source === undefined ? {} : { source: source.values[0] }), peers };
  }

  /** What is in its block is left out with it. */
  #leave(directive: Directive, reason?: string, remedy?: string): void {
    const advice = adviceFor(directive.name);
    const shown = secretNames.includes(directive.name) ? [directive.name] : [directive.name, ...directive.values];
    this.#leftOut.push({
      place: directive.place,
      directive: shown.join(' '),
      reason: reason ?? advice.reason,
      remedy: remedy ?? advice.remedy,
    });
  }
}

const usableName = (name: string): boolean => /^[A-Za-z0-9][A-Za-z0-9._-]{0,31}$/.test(name);
