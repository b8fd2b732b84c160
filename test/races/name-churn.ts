import { makeVirtualMacLink } from '../../src/attach/virtual-mac-link.js';
import { deleteGroup, dumpLinks } from '../../src/kernel/links.js';
import { aliasOf, isKoiGroup, virtualMacLinkName } from '../../src/kernel/names.js';
import { Netlink } from '../../src/kernel/netlink.js';
import { KoiError } from '../../src/koi-error.js';
import { vrrpVirtualMac } from '../../src/wire/mac.js';

/**
 * Makes links under names, by this run or by another one of the same machine, deletes them together, and compares what the
 * kernel has with a model of it:
 *
 *   name-churn PARENT-IFINDEX ALLOCATIONS
 */
const [parent = 0, allocations = 0] = process.argv.slice(2).map(Number);
const netlink = Netlink.open();
const cluster = 'edge';
const groups = { one: 0x4b00_0101, two: 0x4b00_0102 } as const;
type Run = keyof typeof groups;

/** Whose link each name is. */
const model = new Map<string, Run>();
let seed = 51;
const random = (below: number): number => {
  seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0;
  return Math.floor((seed / 2 ** 32) * below);
};

function compare(): void {
  const links = dumpLinks(netlink);
  if (!links.ok) throw new Error(links.message);
  const found = links.value.filter(({ group }) => isKoiGroup(group));
  const owners = new Map(found.map(({ name, alias }) => [name, alias?.split(':').at(-1)]));
  if (owners.size !== model.size) throw new Error(`the kernel has ${owners.size} links, the model ${model.size}`);
  for (const [name, run] of model) {
    if (owners.get(name) !== run) throw new Error(`${name} is ${owners.get(name)}'s in the kernel, and ${run}'s`);
  }
}

let made = 0;
let refused = 0;
while (made < allocations) {
  for (let turn = 0; turn < 200 && made < allocations; turn += 1) {
    const id = 1 + random(255);
    const vr = `gw${id}`;
    const run: Run = random(3) === 0 ? 'two' : 'one';
    const linkName = virtualMacLinkName(cluster, vr, id);
    const owner = model.get(linkName);
    // Its own is deleted first, which takes 17 ms: that is tried now and then.
    if (owner === run && random(50) > 0) continue;
    const alias = aliasOf({ cluster, vr, bootId: run });
    try {
      makeVirtualMacLink(
        { netlink },
        { linkName, alias, group: groups[run], virtualMac: vrrpVirtualMac(4, id) },
        parent,
      );
      if (owner !== undefined && owner !== run) throw new Error(`${linkName} was taken from ${owner} by ${run}`);
      model.set(linkName, run);
      made += 1;
    } catch (error) {
      if (!(error instanceof KoiError) || owner === undefined || owner === run) throw error;
      if (!error.message.includes('of another run')) throw error;
      refused += 1;
    }
  }
  compare();
  for (const run of ['one', 'two'] as const) {
    deleteGroup(netlink, groups[run]);
    for (const [name, owner] of model) if (owner === run) model.delete(name);
    compare();
  }
}
netlink.close();
process.stdout.write(JSON.stringify({ made, refused }));
