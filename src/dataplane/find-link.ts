import { readlinkSync } from 'node:fs';
import { basename } from 'node:path';
import type { InterfaceSelector } from '../config/config.js';
import type { Link } from '../kernel/link.js';
import { isKoiGroup } from '../kernel/names.js';
import { parseMac } from '../wire/mac.js';

/** The interface that a selector means, among those there are. Koi's own links are never meant. */
export function findLink(links: Iterable<Link>, { by, value }: InterfaceSelector): Link | undefined {
  for (const link of links) {
    if (isKoiGroup(link.group)) continue;
    if (by === 'name' && (link.name === value || link.altNames.includes(value))) return link;
    if (by === 'altname' && link.altNames.includes(value)) return link;
    if (by === 'mac' && hasMac(link, value)) return link;
    if (by === 'path' && devicePath(link.name) === value) return link;
  }
  return undefined;
}

function hasMac(link: Link, text: string): boolean {
  const mac = parseMac(text);
  return mac.ok && (link.permanentMac ?? link.mac) === mac.value;
}

/** The bus address of a card, `0000:03:00.0`; undefined for virtual links. */
function devicePath(name: string): string | undefined {
  try {
    return basename(readlinkSync(`/sys/class/net/${name}/device`));
  } catch {
    // No device behind it: a bridge, a bond, a VLAN, a veth.
    return undefined;
  }
}
