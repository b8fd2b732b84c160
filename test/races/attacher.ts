import { type FailpointName, failpointNames } from '../../src/failpoint.js';
import { getLink } from '../../src/kernel/links.js';
import { Host } from '../attach/host.js';
import { good } from '../kernel/cable.js';
import { Trap } from './failpoints.js';
import { bothFamilies, duplicates } from './specs.js';

/**
 * Takes over and releases once, and dies on the way:
 *
 *   attacher STATE-DIRECTORY FAILPOINT
 */
const [directory = '', wanted = ''] = process.argv.slice(2);
const name = failpointNames.find((each): each is FailpointName => each === wanted);
if (name === undefined) throw new Error(`there is no failpoint ${wanted}`);

const host = new Host(directory);
host.monitor.drain();
const parent = good(getLink(host.netlink, 'eth1')).ifindex;
const attachment = host.attachment(bothFamilies, { duplicates });
new Trap(name, { kind: 'crash' });
await attachment.attach(parent);
attachment.detach();
await attachment.remake();
process.stdout.write('it went through\n');
