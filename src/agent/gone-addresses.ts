import { networkInterfaces } from 'node:os';

/** Those of `addresses` that this host still has. Reading needs no privilege. */
export function presentAddresses(addresses: readonly string[]): readonly string[] {
  const present = new Set<string>();
  for (const entries of Object.values(networkInterfaces()))
    for (const { address } of entries ?? []) present.add(address);
  return addresses.filter((address) => present.has(address));
}
