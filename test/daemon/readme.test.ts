import { cpSync, mkdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { natsServerBinary } from '../log/nats-server.js';
import { type BuiltKoi, buildKoi } from './build.js';
import { Host, isRoot } from './host.js';

const root = fileURLToPath(new URL('../..', import.meta.url));

/** The lines of README's block for a clone, without what is said beside them. */
function typed(): string[] {
  const [, block = ''] = /^```sh\n(npm ci && [\s\S]*?)^```/m.exec(readFileSync(join(root, 'README.md'), 'utf8')) ?? [];
  return block
    .trim()
    .split('\n')
    .map((line) => line.replace(/\s+#.*$/, ''));
}

describe.skipIf(!isRoot || natsServerBinary === undefined)(
  'what README says to type in a clone (needs root and nats-server)',
  () => {
    let built: BuiltKoi;
    let host: Host;

    beforeAll(() => {
      built = buildKoi();
      const clone = join(dirname(built.main), '../..');
      for (const name of ['bin', 'packaging/deb']) {
        mkdirSync(join(clone, name), { recursive: true });
        cpSync(join(root, name), join(clone, name), { recursive: true });
      }
      host = new Host(built.main);
    }, 120_000);
    afterAll(async () => {
      await host?.endAll();
      host?.remove();
      built?.remove();
    });

    it('checks, serves, tells who is master and why, and leaves nothing behind', async () => {
      const [build, copy, check, run, status, timeline, ...more] = typed();
      expect(build).toBe('npm ci && npm run build');
      expect(more).toEqual([]);
      const before = await host.settled();
      await host.startLog();
      // Its sockets and its state are where they are by default, on file systems of this test's own.
      const script = `
      set -eu
      mount -t tmpfs none /run
      mount -t tmpfs none /var/lib
      cd ${join(dirname(built.main), '../..')}
      ${copy}
      ${check}
      ${run} >/run/said 2>&1 &
      for attempt in $(seq 100); do
        ${status} >/run/status 2>&1 && grep -qE '^gw .* master +[0-9]' /run/status && break
        sleep 0.1
      done
      cat /run/status
      timeout 2 ${timeline} || [ $? = 124 ]
      kill -TERM $!
      wait $! || { cat /run/said; exit 9; }
      echo ended in order
    `;
      const shell = host.spawn(['sh', '-c', script]);
      const { how } = await shell.end();
      expect({ how, said: shell.output }).toEqual({ how: 0, said: expect.stringContaining('ended in order') });
      expect(shell.output).toMatch(/^koi\.yaml: .*$/m);
      expect(shell.output).toMatch(/^gw .*master/m);
      expect(shell.output).toMatch(/gw \S+ candidate → master/);
      expect(host.changesSince(before)).toEqual([]);
    }, 90_000);
  },
);
