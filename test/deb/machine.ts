import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { chmodSync, cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildInitramfs } from '../vm/image.js';

const root = fileURLToPath(new URL('../..', import.meta.url));
const cache = join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'koi/deb');
const output = join(root, '.lab/deb');
const diskMiB = 2048;
const packagesInRoot = [
  'systemd',
  'systemd-sysv',
  'dbus',
  'udev',
  'iproute2',
  'iputils-ping',
  'nftables',
  'procps',
  'kmod',
  'man-db',
];

/** Why the package cannot be tried here, or undefined. */
export function missing(): string | undefined {
  if (process.getuid?.() !== 0) return 'only root can make a Debian root';
  if (process.arch !== 'x64') return `the kernel's package is for amd64, this machine is ${process.arch}`;
  for (const program of ['qemu-system-x86_64', 'mke2fs', 'debootstrap', 'dpkg-deb']) {
    const found = spawnSync('sh', ['-c', `PATH=$PATH:/usr/sbin:/sbin command -v ${program}`]);
    if (found.status !== 0) return `${program} is not installed`;
  }
  return spawnSync(join(root, 'scripts/vm-packages'), ['--have']).status === 0
    ? undefined
    : 'the kernel has not been fetched (scripts/vm-packages fetches it)';
}

/** Debian with systemd, made once and kept. */
function debianRoot(): string {
  const kept = join(cache, 'root-bookworm');
  if (existsSync(join(kept, 'usr/bin/man'))) return kept;
  mkdirSync(cache, { recursive: true });
  const made = `${kept}.new`;
  rmSync(made, { recursive: true, force: true });
  execFileSync('debootstrap', ['--variant=minbase', `--include=${packagesInRoot.join(',')}`, 'bookworm', made], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  rmSync(kept, { recursive: true, force: true });
  execFileSync('mv', [made, kept]);
  return kept;
}

/** Builds a package of this checkout as `version`. @returns its path */
export function buildPackage(version: string): string {
  const env = { ...process.env, KOI_DEB_VERSION: version, KOI_DEB_COMPRESSION: 'zstd' };
  execFileSync(process.execPath, [join(root, 'node_modules/tsx/dist/cli.mjs'), 'packaging/deb/main.ts', 'amd64'], {
    cwd: root,
    env,
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  return join(root, 'dist-deb', `koi_${version}_amd64.deb`);
}

const unit = `[Unit]
Description=trial
After=basic.target dbus.service
[Service]
Type=oneshot
ExecStart=/root/trial
StandardOutput=file:/dev/ttyS1
StandardError=inherit
ExecStopPost=/bin/systemctl poweroff --force --force
`;

/** Boots Debian with the two packages in /root, and runs the trial. @returns the lines that it printed */
export async function tryPackages(first: string, second: string, deadlineMs: number): Promise<string[]> {
  const packages = execFileSync(join(root, 'scripts/vm-packages'), ['--have'], { encoding: 'utf8' }).trim();
  const version = readdirSync(join(packages, 'lib/modules'))[0];
  if (version === undefined) throw new Error(`${packages} holds no kernel modules`);
  mkdirSync(output, { recursive: true });
  const work = mkdtempSync(join(tmpdir(), 'koi-deb-machine-'));
  try {
    const tree = join(work, 'root');
    execFileSync('cp', ['-a', debianRoot(), tree]);
    cpSync(first, join(tree, 'root/koi-1.deb'));
    cpSync(second, join(tree, 'root/koi-2.deb'));
    cpSync(fileURLToPath(new URL('guest/trial', import.meta.url)), join(tree, 'root/trial'));
    chmodSync(join(tree, 'root/trial'), 0o755);
    writeFileSync(join(tree, 'etc/systemd/system/trial.service'), unit);
    mkdirSync(join(tree, 'etc/systemd/system/multi-user.target.wants'), { recursive: true });
    execFileSync('ln', [
      '-sf',
      '/etc/systemd/system/trial.service',
      join(tree, 'etc/systemd/system/multi-user.target.wants/trial.service'),
    ]);
    const disk = join(work, 'disk');
    const env = { ...process.env, PATH: `${process.env.PATH}:/usr/sbin:/sbin` };
    execFileSync('mke2fs', ['-q', '-t', 'ext4', '-O', '^has_journal', '-d', tree, disk, `${diskMiB}M`], { env });
    rmSync(tree, { recursive: true });
    const initramfs = join(work, 'initramfs');
    buildInitramfs(packages, version, join(work, 'first'), initramfs);
    return await boot(join(packages, `boot/vmlinuz-${version}`), initramfs, disk, deadlineMs);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

async function boot(kernel: string, initramfs: string, disk: string, deadlineMs: number): Promise<string[]> {
  const lines = join(output, 'trial.log');
  const child = spawn(
    'qemu-system-x86_64',
    [
      // Emulated, as in test/vm: it is as slow on every processor, and needs none of this machine's devices.
      ...['-accel', 'tcg,thread=multi', '-cpu', 'max', '-smp', '2', '-m', '2048'],
      ...['-nodefaults', '-no-user-config', '-nographic', '-no-reboot', '-snapshot'],
      ...['-kernel', kernel, '-initrd', initramfs, '-append', 'console=ttyS0 panic=-1 quiet systemd.show_status=no'],
      ...['-drive', `file=${disk},format=raw,if=virtio`],
      ...['-serial', `file:${join(output, 'console.log')}`, '-serial', `file:${lines}`],
    ],
    { stdio: ['ignore', 'ignore', 'inherit'] },
  );
  const ended = new Promise<string | undefined>((resolve) => {
    child.on('error', (error) => resolve(error.message));
    child.on('exit', (code, signal) => resolve(code === 0 ? undefined : `qemu ended (${signal ?? code})`));
  });
  const timer = setTimeout(() => child.kill('SIGKILL'), deadlineMs);
  const failure = await ended;
  clearTimeout(timer);
  const text = existsSync(lines) ? execFileSync('cat', [lines], { encoding: 'utf8' }) : '';
  if (failure !== undefined) throw new Error(`${failure}; see ${output}:\n${text}`);
  return text.split(/\r?\n/).filter((line) => line !== '');
}
