import { readdirSync, readFileSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import type { HostInterface, HostView } from './host-checks.js';

const classNet = '/sys/class/net';

/** Looks at this machine's interfaces without any privilege. Never throws: what cannot be read is left out. */
export function readHostView(): HostView {
  const withAddress = networkInterfaces();
  // networkInterfaces() leaves out interfaces that are down or have no address; the kernel's own list does not.
  const names = new Set([...Object.keys(withAddress), ...attempt(() => readdirSync(classNet), [])]);
  names.delete('bonding_masters');
  const interfaces = [...names].map((name): HostInterface => {
    const mac = readAttribute(name, 'address');
    return {
      name,
      mac: mac === '' ? undefined : mac,
      ofKoi: readAttribute(name, 'ifalias').startsWith('koi:'),
      addresses: (withAddress[name] ?? []).map(({ address, cidr }) => ({
        address,
        prefixLength: Number(cidr?.split('/')[1] ?? (address.includes(':') ? 128 : 32)),
      })),
    };
  });
  return { interfaces };
}

const readAttribute = (name: string, attribute: string): string =>
  attempt(() => readFileSync(`${classNet}/${name}/${attribute}`, 'utf8').trim(), '');

function attempt<T>(read: () => T, otherwise: T): T {
  try {
    return read();
  } catch {
    return otherwise;
  }
}
