import { readFileSync, readlinkSync, realpathSync } from 'node:fs';
import { basename, dirname } from 'node:path';

/**
 * What stands behind an interface, as udev names it (ID_PATH, systemd's udev-builtin-path_id): `pci-0000:03:00.0`,
 * `pci-0000:00:14.0-usb-0:2:1.0`, `platform-fe300000.ethernet`; and its path below /sys, `/devices/pci0000:00/0000:03:00.0`.
 * None for a virtual interface: it is nowhere, and sysfs has it under its name.
 *
 * sysfs knows names only, and a name may pass to another interface at any moment: `ifindex` is what it read, to compare.
 */
export function devicePaths(name: string, ifindex: number, sysfs = '/sys'): readonly string[] {
  const root = `${sysfs}/class/net/${name}`;
  const device = attempt(() => realpathSync(`${root}/device`));
  const idPath = device === undefined ? undefined : idPathOf(device);
  if (device === undefined || attempt(() => readFileSync(`${root}/ifindex`, 'utf8').trim()) !== String(ifindex)) {
    return [];
  }
  const sysPath = device.slice(attempt(() => realpathSync(sysfs))?.length ?? 0);
  return idPath === undefined ? [sysPath] : [idPath, sysPath];
}

/** From the device up to the root, each bus once: a card behind bridges is named by its own address alone. */
function idPathOf(device: string): string | undefined {
  const parts: string[] = [];
  let passed: string | undefined;
  for (let at = device; at !== '/' && at !== '.'; at = dirname(at)) {
    const bus = attempt(() => basename(readlinkSync(`${at}/subsystem`)));
    if (bus === undefined || bus === passed) continue;
    const part = partOf(bus, basename(at));
    if (part === undefined) continue;
    passed = bus;
    parts.unshift(part);
  }
  return parts.length === 0 ? undefined : parts.join('-');
}

function partOf(bus: string, name: string): string | undefined {
  switch (bus) {
    case 'usb':
      return `usb-0:${name.slice(name.indexOf('-') + 1)}`;
    case 'pci':
    case 'platform':
    case 'acpi':
    case 'xen':
      return `${bus}-${name}`;
    default:
      return undefined;
  }
}

function attempt<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}
