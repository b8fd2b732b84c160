import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';

it('says nothing, whatever the V8: one that does not know a flag complains at each start', () => {
  const module = new URL('./save-memory.ts', import.meta.url).href;
  const program = `const { saveMemory } = await import('${module}'); saveMemory(true); saveMemory(false);`;
  const run = spawnSync(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', program], {
    encoding: 'utf8',
    cwd: fileURLToPath(new URL('../..', import.meta.url)),
  });
  expect([run.stderr, run.status]).toEqual(['', 0]);
});
