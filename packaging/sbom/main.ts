import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { architectures } from '../deb/architecture.js';
import { buildNatsServer } from '../deb/parts.js';
import { listShipped, natsComponents } from './list.js';

/* npm run sbom: prints what is shipped, its version, origin and license, as CycloneDX 1.5. The package has the same. */

const root = fileURLToPath(new URL('../..', import.meta.url));
const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string };
const [architecture] = architectures;
if (architecture === undefined) throw new Error('there is no architecture');
process.stdout.write(listShipped(root, version, natsComponents(buildNatsServer(architecture))));
