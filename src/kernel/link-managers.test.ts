import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { linkManagers } from './link-managers.js';

let run: string;
beforeEach(() => {
  run = mkdtempSync(join(tmpdir(), 'koi-run-'));
});
afterEach(() => rmSync(run, { recursive: true, force: true }));

function put(file: string, text: string): void {
  mkdirSync(dirname(join(run, file)), { recursive: true });
  writeFileSync(join(run, file), text);
}

it('nobody manages a link of which nobody has a file', () => {
  expect(linkManagers(3, run)).toEqual([]);
});

it('whoever has taken a link into his care is named', () => {
  put('systemd/netif/links/3', 'ADMIN_STATE=configured\nOPER_STATE=routable\n');
  put('NetworkManager/devices/3', '[device]\nmanaged=true\n');
  expect(linkManagers(3, run)).toEqual(['NetworkManager', 'systemd-networkd']);
});

it('whoever keeps his hands off is not', () => {
  put('systemd/netif/links/3', 'ADMIN_STATE=unmanaged\n');
  put('NetworkManager/devices/3', '[device]\nmanaged=false\n');
  expect(linkManagers(3, run)).toEqual([]);
});
