import { chmodSync, copyFileSync, cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { BuiltKoi } from '../daemon/build.js';

/** A root file system. */
export interface ImageRoot {
  readonly lower: string;
  /** What lies over it. */
  readonly over: string | undefined;
  readonly environment: Readonly<Record<string, string>>;
  remove(): void;
}

const path = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** The root of an image that was built and unpacked: scripts/image --root FOLDER */
export function imageAt(folder: string): ImageRoot {
  return {
    lower: folder,
    over: undefined,
    environment: { PATH: path, NODE_ENV: 'production' },
    remove: () => undefined,
  };
}

const folder = fileURLToPath(new URL('../../packaging/image', import.meta.url));

/**
 * What the image would hold, without building it: the files that its Dockerfile puts into /usr/local/bin and /opt/koi, from
 * this checkout, over this machine's own root.
 */
export function imageOfCheckout(built: BuiltKoi, natsServer: string): ImageRoot {
  const directory = mkdtempSync(join(tmpdir(), 'koi-image-'));
  const layer = join(directory, 'layer');
  const bin = join(layer, 'usr/local/bin');
  const koi = join(layer, 'opt/koi');
  for (const each of [bin, koi]) mkdirSync(each, { recursive: true });
  const dockerfile = readFileSync(join(folder, 'Dockerfile'), 'utf8');
  for (const [name = ''] of dockerfile.matchAll(/(?<=packaging\/image\/)[\w-]+(?= )/g)) {
    copyFileSync(join(folder, name), join(bin, name));
  }
  const from = dirname(dirname(dirname(built.main)));
  for (const name of ['dist', 'node_modules', 'build', 'package.json']) symlinkSync(join(from, name), join(koi, name));
  cpSync(join(folder, '../../bin'), join(koi, 'bin'), { recursive: true });
  symlinkSync('/opt/koi/bin/koi', join(bin, 'koi'));
  // A copy: its cache may be root's alone.
  copyFileSync(natsServer, join(directory, 'nats-server'));
  symlinkSync(join(directory, 'nats-server'), join(bin, 'nats-server'));
  chmodSync(directory, 0o755);
  return {
    lower: '/',
    over: layer,
    environment: { PATH: path },
    remove: () => rmSync(directory, { recursive: true, force: true }),
  };
}
