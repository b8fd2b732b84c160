import { readFileSync } from 'node:fs';

export interface BuildInfo {
  readonly version: string;
  /** The commit it was built from; 'unknown' outside a packaged build. */
  readonly commit: string;
}

let known: BuildInfo | undefined;

/** Version and commit of this program, from its package.json (a packaged build adds `koi.commit`) or KOI_COMMIT. */
export function buildInfo(): BuildInfo {
  if (known === undefined) {
    const file = new URL('../../package.json', import.meta.url);
    const manifest = JSON.parse(readFileSync(file, 'utf8')) as { version?: string; koi?: { commit?: string } };
    known = {
      version: manifest.version ?? 'unknown',
      commit: process.env.KOI_COMMIT ?? manifest.koi?.commit ?? 'unknown',
    };
  }
  return known;
}
