import type { InterfaceSelector } from '../config/config.js';
import { devicePaths } from '../kernel/device-path.js';
import type { Link } from '../kernel/link.js';
import { isKoiGroup } from '../kernel/names.js';
import { parseMac } from '../wire/mac.js';

/**
 * The interfaces that a selector means, among those there are; more than one where it is ambiguous. Koi's own links are
 * never meant.
 *
 * @param pathsOf what is known of the device behind an interface
 */
export function findLinks(
  links: Iterable<Link>,
  { by, value }: InterfaceSelector,
  pathsOf: (link: Link) => readonly string[] = ({ name, ifindex }) => devicePaths(name, ifindex),
): readonly Link[] {
  const others = [...links].filter(({ group }) => !isKoiGroup(group));
  switch (by) {
    case 'name':
      return others.filter(({ name, altNames }) => name === value || altNames.includes(value));
    case 'altname':
      return others.filter(({ altNames }) => altNames.includes(value));
    case 'path':
      return others.filter((link) => pathsOf(link).includes(value));
    case 'mac':
      return withMac(others, value);
  }
}

/** The one interface that a selector means; undefined where there is none, and where it is ambiguous. */
export function findLink(links: Iterable<Link>, selector: InterfaceSelector): Link | undefined {
  const found = findLinks(links, selector);
  return found.length === 1 ? found[0] : undefined;
}

/** A VLAN, a bridge or a bond has the MAC of the card below it: the card is meant, whose own it is. */
function withMac(links: readonly Link[], text: string): readonly Link[] {
  const mac = parseMac(text);
  if (!mac.ok) return [];
  const cards = links.filter(({ permanentMac }) => permanentMac === mac.value);
  return cards.length > 0 ? cards : links.filter((link) => link.permanentMac === undefined && link.mac === mac.value);
}

/** What to say of a selector that means several interfaces. */
export function describeAmbiguity({ by, value }: InterfaceSelector, found: readonly Link[]): string {
  const names = found.map(({ name, ifindex }) => `${name} (ifindex ${ifindex})`).join(' and ');
  return `the ${by} '${value}' means ${names}: koi takes none of them; use what only one of them has`;
}
