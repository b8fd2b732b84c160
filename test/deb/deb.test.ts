import { describe, expect, it } from 'vitest';
import { buildPackage, missing, tryPackages } from './machine.js';

const reason = missing();
if (reason !== undefined) process.stderr.write(`test/deb is skipped: ${reason}\n`);

/** Every line of the trial in the machine; emulated it takes a quarter of an hour, and longer on a busy machine. */
const deadlineMs = 40 * 60_000;

describe.skipIf(reason !== undefined)('the Debian package, under a real systemd', () => {
  it(
    'installs, serves, is upgraded without a lost packet, and leaves nothing behind',
    async () => {
      const lines = await tryPackages(buildPackage('0.1.0'), buildPackage('0.1.0+1'), deadlineMs);
      for (const line of lines) if (line.startsWith('#')) process.stdout.write(`${line}\n`);
      expect(lines.filter((line) => line.startsWith('not ok'))).toEqual([]);
      expect(lines.at(-1)).toBe('trial complete');
      expect(lines.filter((line) => line.startsWith('ok')).length).toBeGreaterThan(50);
    },
    deadlineMs + 300_000,
  );
});
