import { expect, it } from 'vitest';
import { LinkOwners } from './link-owners.js';

interface Router {
  readonly name: string;
  readonly namespace: string | undefined;
  links: number[];
  owns(ifindex: number): boolean;
}

function router(name: string, links: number[], namespace?: string): Router & { asked: number } {
  return {
    name,
    namespace,
    links,
    asked: 0,
    owns(ifindex) {
      this.asked += 1;
      return this.links.includes(ifindex);
    },
  };
}

it('finds whose a link is, and asks that one alone from then on', () => {
  const [a, b] = [router('a', [7]), router('b', [8])];
  const owners = new LinkOwners(() => [a, b]);
  expect(owners.ownerOf(8, undefined)).toBe(b);
  a.asked = 0;
  expect(owners.ownerOf(8, undefined)).toBe(b);
  expect(a.asked).toBe(0);
});

it('does not take who had a link for who has it', () => {
  const [a, b] = [router('a', [7]), router('b', [])];
  const owners = new LinkOwners(() => [a, b]);
  expect(owners.ownerOf(7, undefined)).toBe(a);
  a.links = [];
  expect(owners.ownerOf(7, undefined)).toBeUndefined();
  b.links = [7];
  expect(owners.ownerOf(7, undefined)).toBe(b);
});

it('forgets who is gone', () => {
  const a = router('a', [7]);
  const all = [a];
  const owners = new LinkOwners(() => all);
  expect(owners.ownerOf(7, undefined)).toBe(a);
  all.pop();
  a.links = [];
  expect(owners.ownerOf(7, undefined)).toBeUndefined();
});

it('keeps the links of two network namespaces apart, whose numbers are the same', () => {
  const [here, there] = [router('here', [7]), router('there', [7], 'shop')];
  const owners = new LinkOwners(() => [here, there]);
  expect(owners.ownerOf(7, undefined)).toBe(here);
  expect(owners.ownerOf(7, 'shop')).toBe(there);
});
