import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { devicePaths } from './device-path.js';

let sysfs: string;
beforeEach(() => {
  sysfs = mkdtempSync(join(tmpdir(), 'koi-sysfs-'));
});
afterEach(() => rmSync(sysfs, { recursive: true }));

/** An interface below the last of these devices, each given as [directory, bus]. */
function plug(name: string, ifindex: number, devices: readonly (readonly [string, string | undefined])[]): void {
  let at = join(sysfs, 'devices');
  for (const [directory, bus] of devices) {
    at = join(at, directory);
    mkdirSync(at, { recursive: true });
    if (bus === undefined) continue;
    mkdirSync(join(sysfs, 'bus', bus), { recursive: true });
    rmSync(join(at, 'subsystem'), { force: true });
    symlinkSync(join(sysfs, 'bus', bus), join(at, 'subsystem'));
  }
  const own = join(sysfs, 'class/net', name);
  mkdirSync(own, { recursive: true });
  writeFileSync(join(own, 'ifindex'), `${ifindex}\n`);
  if (devices.length > 0) symlinkSync(at, join(own, 'device'));
}

test('a card is named by its bus address, behind bridges and below virtio too', () => {
  plug('eth0', 2, [
    ['pci0000:00', undefined],
    ['0000:00:1c.0', 'pci'],
    ['0000:03:00.0', 'pci'],
  ]);
  plug('eth1', 3, [
    ['pci0000:00', undefined],
    ['0000:00:03.0', 'pci'],
    ['virtio0', 'virtio'],
  ]);
  expect(devicePaths('eth0', 2, sysfs)).toEqual(['pci-0000:03:00.0', '/devices/pci0000:00/0000:00:1c.0/0000:03:00.0']);
  expect(devicePaths('eth1', 3, sysfs)).toEqual(['pci-0000:00:03.0', '/devices/pci0000:00/0000:00:03.0/virtio0']);
});

test('a USB adapter by its port, one of the board by its platform name', () => {
  plug('usb0', 4, [
    ['pci0000:00', undefined],
    ['0000:00:14.0', 'pci'],
    ['usb1', 'usb'],
    ['1-2', 'usb'],
    ['1-2:1.0', 'usb'],
  ]);
  plug('end0', 5, [
    ['platform', undefined],
    ['fe300000.ethernet', 'platform'],
  ]);
  expect(devicePaths('usb0', 4, sysfs)[0]).toBe('pci-0000:00:14.0-usb-0:2:1.0');
  expect(devicePaths('end0', 5, sysfs)[0]).toBe('platform-fe300000.ethernet');
});

test('a virtual interface has none; nor has one whose name another interface has by now', () => {
  plug('br0', 6, []);
  plug('eth0', 2, [['0000:03:00.0', 'pci']]);
  expect(devicePaths('br0', 6, sysfs)).toEqual([]);
  expect(devicePaths('eth0', 9, sysfs)).toEqual([]);
  expect(devicePaths('nowhere', 1, sysfs)).toEqual([]);
});
