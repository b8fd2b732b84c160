import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { nodeVersion } from '../deb/architecture.js';
import { isInstalled, run } from '../deb/run.js';
import { type Bom, type Component, goComponents, type Lock, nodeComponent, ownParts, shippedBom } from './bom.js';

/** The modules of a nats-server. @throws Error where Go is missing */
export function natsComponents(program: string): Component[] {
  const go = ['go', '/usr/local/go/bin/go'].find(isInstalled);
  if (go === undefined) throw new Error('Go is needed to read what a nats-server was built of');
  return goComponents(run(go, ['version', '-m', program]));
}

/** What a package of this checkout holds, as CycloneDX JSON. @param nats the components of the nats-server in it */
export function listShipped(root: string, version: string, nats: readonly Component[]): string {
  const lock = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')) as Lock;
  const listed = run('npm', ['sbom', '--package-lock-only', '--sbom-format', 'cyclonedx'], { cwd: root });
  const parts = [nodeComponent(nodeVersion), ...ownParts(version), ...nats];
  return `${JSON.stringify(shippedBom(JSON.parse(listed) as Bom, lock, parts, version), null, 2)}\n`;
}
