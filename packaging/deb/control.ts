/** The highest version among the symbol versions `GLIBC_2.34` and the like that `readelf -V` prints of programs. */
export function glibcFloor(readelf: string): string {
  const versions = [...readelf.matchAll(/\bGLIBC_(\d+(?:\.\d+)+)/g)].map(([, version = '']) => version);
  const parts = (version: string): number[] => version.split('.').map(Number);
  return versions.reduce((highest, version) => {
    const [a, b] = [parts(highest), parts(version)];
    for (let at = 0; at < Math.max(a.length, b.length); at += 1) {
      const difference = (b[at] ?? 0) - (a[at] ?? 0);
      if (difference !== 0) return difference > 0 ? version : highest;
    }
    return highest;
  }, '2.28');
}

export interface ControlAbout {
  readonly version: string;
  readonly architecture: string;
  readonly glibc: string;
  readonly installedKiB: number;
}

/** DEBIAN/control: deb-control(5). */
export function controlFile({ version, architecture, glibc, installedKiB }: ControlAbout): string {
  return `Package: koi
Version: ${version}
Architecture: ${architecture}
Maintainer: The Koi authors <koi@localhost>
Installed-Size: ${installedKiB}
Depends: libc6 (>= ${glibc}), libgcc-s1, libstdc++6, systemd | systemd-standalone-sysusers, systemd | systemd-standalone-tmpfiles
Suggests: iproute2, nftables, prometheus
Section: net
Priority: optional
Description: high availability for virtual IP addresses
 Koi keeps virtual IP addresses alive on a LAN. It speaks VRRP and CARP, attaches
 the virtual MAC before an address, and asks an event log on NATS JetStream who
 may own them, which remembers everything that happened and explains it
 afterwards.
 .
 The package holds the Node.js that Koi was compiled for, and a nats-server for
 the event log: neither an upgrade of the distribution's Node.js nor its age can
 stop what the network relies on.
`;
}

/** DEBIAN/md5sums, from pairs of a path below the root and its sum. */
export const sumsFile = (sums: readonly (readonly [path: string, sum: string])[]): string =>
  [...sums]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([path, sum]) => `${sum}  ${path}\n`)
    .join('');
