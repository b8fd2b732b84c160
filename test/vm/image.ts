import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { compile } from '../lab/compile.js';

/** What a virtual machine boots: a kernel, a first file system that finds the disk, and the disk with Koi on it. */
export interface Image {
  readonly kernel: string;
  readonly initramfs: string;
  readonly disk: string;
  /** Of everything that is on it: the same digest, the same results. */
  readonly digest: string;
}

const root = fileURLToPath(new URL('../..', import.meta.url));
const here = dirname(fileURLToPath(import.meta.url));
/** What of the checkout runs in the machine. */
const sources = [
  'src',
  'test/vm/guest',
  'test/lab',
  'build/Release',
  'package-lock.json',
  'scripts/vm-packages',
  'test/vm/image.ts',
  'packaging/systemd',
];
const programs = [
  'bash',
  'sh',
  'ip',
  'tc',
  'bridge',
  'sysctl',
  'sed',
  'grep',
  'awk',
  'cat',
  'ls',
  'mkdir',
  'rm',
  'sleep',
  'ps',
  'run-parts',
  'basename',
  'dirname',
  'tr',
  'printenv',
  'nft',
];
const modules = [
  'virtio_pci',
  'virtio_blk',
  'bonding',
  '8021q',
  'dummy',
  'sch_netem',
  'macvlan',
  'veth',
  'bridge',
  'nf_tables',
];
const diskMiB = 512;

export const cacheDirectory = join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'koi/vm');

/** Why no machine can be started here, or undefined. */
export function missing(): string | undefined {
  for (const program of ['qemu-system-x86_64', 'mke2fs']) {
    if (spawnSync('sh', ['-c', `PATH=$PATH:/usr/sbin:/sbin command -v ${program}`]).status !== 0) {
      return `${program} is not installed (scripts/setup installs it)`;
    }
  }
  if (process.arch !== 'x64') return `the kernel's package is for amd64, this machine is ${process.arch}`;
  const packages = spawnSync(join(root, 'scripts/vm-packages'), ['--have']);
  return packages.status === 0
    ? undefined
    : 'the kernel and ifupdown have not been fetched (scripts/vm-packages fetches them)';
}

/** Builds the image, or finds the one that was built from the same sources. */
export function buildImage(): Image {
  const packages = execFileSync(join(root, 'scripts/vm-packages'), ['--have'], { encoding: 'utf8' }).trim();
  const version = readdirSync(join(packages, 'lib/modules'))[0];
  if (version === undefined) throw new Error(`${packages} holds no kernel modules`);
  const digest = digestOf(version);
  const directory = join(cacheDirectory, `image-${digest}`);
  const image: Image = {
    kernel: join(packages, `boot/vmlinuz-${version}`),
    initramfs: join(directory, 'initramfs'),
    disk: join(directory, 'disk'),
    digest,
  };
  if (existsSync(directory)) return image;

  const work = mkdtempSync(join(tmpdir(), 'koi-vm-'));
  try {
    const built = join(work, 'image');
    mkdirSync(built);
    buildInitramfs(packages, version, join(work, 'first'), join(built, 'initramfs'));
    buildDisk(packages, join(work, 'root'), join(built, 'disk'));
    mkdirSync(cacheDirectory, { recursive: true });
    for (const old of readdirSync(cacheDirectory)) {
      if (old.startsWith('image-')) rmSync(join(cacheDirectory, old), { recursive: true });
    }
    execFileSync('cp', ['-r', '--sparse=always', built, `${directory}.new`]);
    renameSync(`${directory}.new`, directory);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
  return image;
}

function digestOf(kernelVersion: string): string {
  const listing = execFileSync(
    'find',
    [...sources, '-type', 'f', '!', '-name', '*.test.ts', '!', '-path', '*/obj.target/*'],
    {
      cwd: root,
      encoding: 'utf8',
    },
  );
  const digest = createHash('sha256').update(`${kernelVersion} ${process.version}\n`);
  for (const file of listing.split('\n').filter(Boolean).sort()) {
    digest.update(`${file}\n`).update(readFileSync(join(root, file)));
  }
  return digest.digest('hex').slice(0, 16);
}

/** Loads the modules, finds the disk, and gives over to its /sbin/init. */
export function buildInitramfs(packages: string, version: string, directory: string, output: string): void {
  const busybox = join(packages, 'bin/busybox');
  mkdirSync(join(directory, 'bin'), { recursive: true });
  for (const name of ['dev', 'proc', 'sys', 'root']) mkdirSync(join(directory, name));
  cpSync(busybox, join(directory, 'bin/busybox'));
  const from = join(packages, 'lib/modules', version);
  const to = join(directory, 'lib/modules', version);
  for (const part of [
    'kernel/drivers/virtio',
    'kernel/drivers/block',
    'kernel/drivers/net',
    'kernel/net',
    'kernel/lib',
    'kernel/crypto',
  ]) {
    if (existsSync(join(from, part))) cpSync(join(from, part), join(to, part), { recursive: true });
  }
  for (const list of ['modules.builtin', 'modules.order']) cpSync(join(from, list), join(to, list));
  execFileSync(busybox, ['depmod', '-b', directory, version]);
  const init = [
    '#!/bin/busybox sh',
    'b=/bin/busybox',
    '$b mount -t devtmpfs dev /dev; $b mount -t proc proc /proc; $b mount -t sysfs sys /sys',
    `for module in ${modules.join(' ')}; do $b modprobe $module || echo "init: no module $module"; done`,
    'n=0; until [ -b /dev/vda ]; do n=$((n+1)); [ $n -lt 500 ] || { echo "init: there is no disk"; $b poweroff -f; }; $b usleep 10000; done',
    '$b mount -t ext4 /dev/vda /root || { echo "init: the disk cannot be mounted"; $b poweroff -f; }',
    '$b umount /sys; $b mount --move /dev /root/dev; $b umount /proc',
    'exec $b switch_root /root /sbin/init',
    '',
  ];
  writeFileSync(join(directory, 'init'), init.join('\n'), { mode: 0o755 });
  execFileSync('sh', [
    '-c',
    `cd '${directory}' && find . | '${busybox}' cpio -o -H newc 2>/dev/null | gzip -1 >'${output}'`,
  ]);
}

function buildDisk(packages: string, directory: string, output: string): void {
  for (const name of [
    'bin',
    'dev',
    'proc',
    'sys',
    'run',
    'tmp',
    'root',
    'etc/network',
    'var/lib',
    'lib',
    'lib64',
    'usr',
    'koi',
  ]) {
    mkdirSync(join(directory, name), { recursive: true });
  }
  const paths = programs.map((name) => which(name)).filter((path) => path !== undefined);
  for (const path of [...paths, process.execPath]) install(path, directory, join('/bin', path.split('/').at(-1) ?? ''));
  for (const name of ['ifup', 'ifdown', 'ifquery']) install(join(packages, 'sbin/ifup'), directory, `/sbin/${name}`);
  cpSync(join(packages, 'etc/network'), join(directory, 'etc/network'), { recursive: true });
  for (const script of ['if-up.d/resolved', 'if-down.d/resolved'])
    rmSync(join(directory, 'etc/network', script), { force: true });
  installLibraries(join(root, 'build/Release/koi_kernel.node'), directory);
  const networkd = '/lib/systemd/systemd-networkd';
  if (existsSync(networkd)) install(networkd, directory, networkd);
  mkdirSync(join(directory, 'koi/packaging'));
  cpSync(join(root, 'packaging/systemd/05-koi.network'), join(directory, 'koi/packaging/05-koi.network'));

  const compiled = spawnSync(
    process.execPath,
    [
      join(root, 'node_modules/typescript/bin/tsc'),
      '-p',
      join(here, 'tsconfig.json'),
      '--outDir',
      join(directory, 'koi'),
    ],
    { encoding: 'utf8' },
  );
  if (compiled.status !== 0)
    throw new Error(`what runs in the machine does not compile:\n${compiled.stdout}${compiled.stderr}`);
  cpSync(join(root, 'package.json'), join(directory, 'koi/package.json'));
  mkdirSync(join(directory, 'koi/build'));
  cpSync(join(root, 'build/Release'), join(directory, 'koi/build/Release'), {
    recursive: true,
    filter: (path) => !path.includes('obj.target'),
  });
  const listed = execFileSync('npm', ['ls', '--omit=dev', '--all', '--parseable'], { cwd: root, encoding: 'utf8' });
  for (const path of listed.split('\n').filter((line) => line.includes('node_modules'))) {
    const within = path.slice(path.indexOf('node_modules'));
    cpSync(join(root, within), join(directory, 'koi', within), { recursive: true });
  }
  for (const name of ['record', 'probe']) {
    install(compile(join(root, 'test/lab'), name, join(cacheDirectory, 'bin')), directory, `/bin/koi-${name}`);
  }
  const init = [
    '#!/bin/sh',
    'export PATH=/bin:/sbin HOME=/root LC_ALL=C',
    'mount() { /bin/busybox mount "$@"; }',
    'mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t tmpfs run /run; mount -t tmpfs tmp /tmp',
    'mkdir -p /run/network /run/koi /run/netns /var/lib/koi',
    'ip link set lo up',
    'node /koi/test/vm/guest/main.js >/dev/ttyS1 2>/dev/ttyS0',
    '/bin/busybox sync',
    '/bin/busybox poweroff -f',
    '',
  ];
  cpSync(join(packages, 'bin/busybox'), join(directory, 'bin/busybox'));
  writeFileSync(join(directory, 'sbin/init'), init.join('\n'), { mode: 0o755 });
  execFileSync('mke2fs', ['-q', '-t', 'ext4', '-O', '^has_journal', '-d', directory, output, `${diskMiB}M`], {
    env: { ...process.env, PATH: `${process.env.PATH}:/usr/sbin:/sbin` },
  });
}

function which(name: string): string | undefined {
  const found = spawnSync('sh', ['-c', `PATH=/usr/sbin:/usr/bin:/sbin:/bin command -v ${name}`], { encoding: 'utf8' });
  return found.status === 0
    ? execFileSync('readlink', ['-f', found.stdout.trim()], { encoding: 'utf8' }).trim() && found.stdout.trim()
    : undefined;
}

function install(path: string, directory: string, at: string): void {
  const target = join(directory, at);
  mkdirSync(dirname(target), { recursive: true });
  cpSync(path, target, { dereference: true });
  installLibraries(path, directory);
}

/** Copies the shared libraries that a program is linked with, to where it looks for them. */
function installLibraries(path: string, directory: string): void {
  const listed = spawnSync('ldd', [path], { encoding: 'utf8' });
  for (const [library] of listed.stdout.matchAll(/\/[^\s:)]+/g)) {
    const target = join(directory, library);
    if (library === path || existsSync(target)) continue;
    mkdirSync(dirname(target), { recursive: true });
    cpSync(library, target, { dereference: true });
  }
}
