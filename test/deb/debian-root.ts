import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, rmSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

const cache = join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'koi/deb');

const release = 'bookworm';
/** Beside a minimal Debian; libstdc++6 is what the package depends on and the minimum lacks, keepalived what it replaces. */
const packages = 'systemd systemd-sysv dbus iproute2 iputils-ping nftables procps man-db libstdc++6 keepalived'.split(
  ' ',
);
const pathWithSystemTools = `${process.env.PATH}:/usr/sbin:/sbin`;

/** Why no Debian root can be made here, or undefined. */
export function missing(): string | undefined {
  if (process.getuid?.() !== 0) return 'only root can make a Debian root';
  for (const program of ['debootstrap', 'dpkg-deb', 'unshare', 'nsenter']) {
    const found = spawnSync('sh', ['-c', `command -v ${program}`], { env: { PATH: pathWithSystemTools } });
    if (found.status !== 0) return `${program} is not installed (scripts/setup installs it)`;
  }
  return undefined;
}

/** Debian with systemd, fetched once and kept; nothing is ever written to it. @returns its folder */
export function debianRoot(): string {
  const digest = createHash('sha256')
    .update([release, ...packages].join(' '))
    .digest('hex')
    .slice(0, 12);
  const kept = join(cache, `root-${digest}`);
  if (existsSync(kept)) return kept;
  mkdirSync(cache, { recursive: true });
  const unfinished = `${kept}.${process.pid}`;
  const include = `--include=${packages.join(',')}`;
  try {
    execFileSync('debootstrap', ['--variant=minbase', include, release, unfinished], {
      env: { ...process.env, PATH: pathWithSystemTools },
      stdio: ['ignore', 'ignore', 'inherit'],
    });
    execFileSync('mv', ['-T', unfinished, kept]);
  } finally {
    rmSync(unfinished, { recursive: true, force: true });
  }
  return kept;
}
