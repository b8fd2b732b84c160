import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { configJsonSchema } from '../../src/config/json-schema.js';
import { failpointNames } from '../../src/failpoint.js';

const root = fileURLToPath(new URL('../..', import.meta.url));

/** Everything that the published package may run: what `tsc -p tsconfig.build.json` compiles, and what is beside it. */
const published = ['src', 'bin', 'scripts'].flatMap((folder) =>
  readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => !/\.test\.ts$|\.md$/.test(name))
    .map((name) => join(folder, name)),
);
const texts = new Map(
  published.flatMap((file) => {
    try {
      return [[file, readFileSync(join(root, file), 'utf8')] as const];
    } catch {
      return [];
    }
  }),
);
const own = 'src/failpoint.ts';
const mentions = (word: RegExp): string[] => [...texts].flatMap(([file, text]) => (word.test(text) ? [file] : []));

describe('the failpoints', () => {
  it('are each placed once in the code, and each under a name of its own', () => {
    const code = [...texts].filter(([file]) => file !== own && file.startsWith('src')).map(([, text]) => text);
    const placed = failpointNames.map(
      (name) => code.join('\n').match(new RegExp(`[rR]eached\\('${name}'|passed\\('${name}'`, 'g'))?.length ?? 0,
    );
    expect(Object.fromEntries(failpointNames.map((name, index) => [name, placed[index]]))).toEqual(
      Object.fromEntries(failpointNames.map((name) => [name, 1])),
    );
    expect(new Set(failpointNames).size).toBe(failpointNames.length);
  });

  it('are installed by nothing that is published', () => {
    expect(mentions(/\binstallFailpoints\b/)).toEqual([own]);
    // A binding of another module can only be read; in its own it is assigned once, where a test calls.
    expect(texts.get(own)?.match(/(?<!let )\bfailpoints = /g)).toHaveLength(1);
  });

  it('read neither environment nor configuration nor arguments, and import nothing', () => {
    const code = texts.get(own)?.replace(/\/\*[\s\S]*?\*\//g, '');
    expect(code).toContain('installFailpoints');
    expect(code).not.toMatch(/\bimport\b|\brequire\b|\bprocess\b|\bglobalThis\b|\bawait\b/);
  });

  it('cannot be switched on by whatever is in the environment', () => {
    const environment = Object.fromEntries(
      ['KOI_FAILPOINT', 'KOI_FAILPOINTS', 'FAILPOINTS', 'KOI_TEST', 'KOI_DEBUG'].map((name) => [
        name,
        failpointNames[0],
      ]),
    );
    const script = `import { failpoints } from ${JSON.stringify(join(root, own))}; console.log(failpoints);`;
    const printed = execFileSync(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', script], {
      cwd: root,
      encoding: 'utf8',
      env: { ...process.env, ...environment, NODE_ENV: 'test' },
    });
    expect(printed.trim()).toBe('undefined');
  });

  it('are no key of the configuration, in no unit and no manifest, and no option of a command', () => {
    expect(JSON.stringify(configJsonSchema())).not.toMatch(/fail[-_ ]?point|NODE_OPTIONS/i);
    const folders = ['src/cli', 'packaging', 'helm', 'bin'];
    const found = spawnSync('grep', ['-rliE', 'fail[-_ ]?points?|NODE_OPTIONS', ...folders], {
      cwd: root,
      encoding: 'utf8',
    });
    expect(found.stdout).toBe('');
  });

  it('are put in by whoever makes node load code of his own, who could do anything else as well', () => {
    const directory = mkdtempSync(join(tmpdir(), 'koi-failpoints-'));
    try {
      const preloaded = join(directory, 'preloaded.mjs');
      const place = JSON.stringify(join(root, own));
      writeFileSync(preloaded, `import { installFailpoints } from ${place}; installFailpoints({});`);
      const script = `import { failpoints } from ${place}; console.log(typeof failpoints);`;
      const printed = execFileSync(process.execPath, ['--input-type=module', '-e', script], {
        cwd: root,
        encoding: 'utf8',
        env: { ...process.env, NODE_OPTIONS: `--import tsx --import ${preloaded}` },
      });
      expect(printed.trim()).toBe('object');
    } finally {
      rmSync(directory, { recursive: true });
    }
  });

  it('do not come with their test code: the package holds no test', () => {
    const { files } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { files: string[] };
    expect(files.filter((file) => file.startsWith('test'))).toEqual([]);
    const build = JSON.parse(readFileSync(join(root, 'tsconfig.build.json'), 'utf8')) as { include: string[] };
    expect(build.include).toEqual(['src']);
  });
});
