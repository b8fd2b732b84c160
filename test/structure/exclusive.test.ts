import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';

const kernel = fileURLToPath(new URL('../../src/kernel', import.meta.url));

/*
 * Of several processes that create the same thing the kernel lets one succeed, if all of them say NLM_F_EXCL. Without it the
 * last one has its way with what the first has made, and both are told that they succeeded.
 */
it('no link and no address is created in the kernel but exclusively', () => {
  const lines = readdirSync(kernel)
    .filter((name) => name.endsWith('.ts') && !name.endsWith('.test.ts') && !name.startsWith('nft'))
    .flatMap((name) =>
      readFileSync(join(kernel, name), 'utf8')
        .split('\n')
        .map((line) => `${name}: ${line.trim()}`),
    )
    .filter((line) => line.includes('flag.create'));
  expect(lines.length).toBeGreaterThan(3);
  // A route that is appended stands behind the others, and changes none of them; tables of nf_tables are replaced as a whole.
  const others = lines.filter((line) => !/flag\.exclusive/.test(line));
  expect(others).toEqual([]);
});
