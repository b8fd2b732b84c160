import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';

it('says nothing, whatever the V8: one that does not know a flag complains at each start', () => {
  const module = new URL('./compile-later.ts', import.meta.url).href;
  const run = spawnSync(
    process.execPath,
    ['--import', 'tsx', '--input-type=module', '-e', `(await import('${module}')).compileLater();`],
    { encoding: 'utf8', cwd: fileURLToPath(new URL('../..', import.meta.url)) },
  );
  expect([run.stderr, run.status]).toEqual(['', 0]);
});
