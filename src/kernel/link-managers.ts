import { existsSync, readFileSync } from 'node:fs';

/** Programs that manage links, by what they leave behind in /run while they do. */
export type LinkManager = 'NetworkManager' | 'systemd-networkd';

/**
 * Which managers have taken an interface of this namespace into their care. Reads one small file each in /run, which is
 * memory; what cannot be read counts as not managed.
 * @param run instead of /run, for tests
 */
export function linkManagers(ifindex: number, run = '/run'): readonly LinkManager[] {
  const managers: LinkManager[] = [];
  // NetworkManager's device state: a key file with `managed=true` in it.
  if (/^managed=true$/m.test(read(`${run}/NetworkManager/devices/${ifindex}`))) managers.push('NetworkManager');
  // sd-network(3): ADMIN_STATE of a link, where networkd keeps its hands off it is `unmanaged`.
  const state = /^ADMIN_STATE=(.*)$/m.exec(read(`${run}/systemd/netif/links/${ifindex}`))?.[1];
  if (state !== undefined && state !== 'unmanaged' && state !== 'linger') managers.push('systemd-networkd');
  return managers;
}

function read(file: string): string {
  try {
    return existsSync(file) ? readFileSync(file, 'utf8') : '';
  } catch {
    return '';
  }
}
