import { mkdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { type Browser, chromium, type Page } from 'playwright-core';
import { programPath } from '../grafana/tools.js';

/** The distribution's own; undefined where this machine has none. */
export const chromiumPath = programPath('chromium') ?? programPath('chromium-browser');
const folder = fileURLToPath(new URL('../../.lab/screenshots/', import.meta.url));

export function startBrowser(): Promise<Browser> {
  // A sandbox of its own is not to be had as root; the page is ours.
  return chromium.launch({
    executablePath: chromiumPath ?? '',
    args: ['--no-sandbox', '--disable-gpu'],
    timeout: 30_000,
  });
}

/** What the page looks like, for people: .lab/screenshots/NAME.png */
export async function screenshot(page: Page, name: string): Promise<void> {
  mkdirSync(folder, { recursive: true });
  await page.screenshot({ path: `${folder}${name}.png`, fullPage: true, animations: 'disabled' });
}
