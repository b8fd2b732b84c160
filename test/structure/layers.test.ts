import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { basename, dirname, join, relative, resolve, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const source = fileURLToPath(new URL('../../src', import.meta.url));

/**
 * What a folder of src/ may import from the others: everything, or types only. docs/architecture explains why; the
 * short form: data flows packet → core → effect → kernel and event → log, and what decides does no I/O.
 */
const allowed: Readonly<Record<string, { readonly values: readonly string[]; readonly types?: readonly string[] }>> = {
  wire: { values: [] },
  core: { values: [], types: ['wire'] },
  kernel: { values: ['wire'] },
  attach: { values: ['kernel', 'wire'] },
  ipc: { values: [], types: ['core', 'observe', 'config'] },
  dataplane: { values: ['wire', 'core', 'kernel', 'attach', 'ipc', 'config'], types: ['observe'] },
  log: { values: [], types: ['core'] },
  observe: { values: ['ipc'], types: ['core', 'config', 'log'] },
  config: { values: [], types: ['core'] },
  import: { values: ['config'] },
  kubernetes: { values: ['core'] },
  agent: { values: ['log', 'config', 'observe', 'ipc', 'core'], types: ['wire'] },
  doctor: { values: ['log', 'config', 'core', 'kernel'], types: ['observe'] },
  sim: { values: ['core', 'log', 'agent', 'ipc'], types: ['wire'] },
};

/**
 * Where types come with the constants that spell them out: branded constructors, the lists of states and reasons, the
 * histograms' bounds. Whoever may have the types may have these; they bring nothing else along, which is checked.
 */
const vocabulary = [
  'core/detect/episode.js',
  'core/identity.js',
  'core/reasons.js',
  'core/vr-state.js',
  'core/ownership.js',
  'observe/snapshot.js',
  'observe/status.js',
  'wire/reasons.js',
];

const shared = /\/(?:koi-error|failpoint|rehearsals)\.js$/;

interface Import {
  readonly file: string;
  readonly line: number;
  readonly specifier: string;
  readonly typesOnly: boolean;
}

function sourceFiles(folder: string): string[] {
  const root = join(source, folder);
  if (!existsSync(root)) return [];
  return readdirSync(root, { recursive: true, encoding: 'utf8' })
    .map((name) => join(root, name))
    .filter((file) => file.endsWith('.ts') && !file.endsWith('.test.ts') && !file.includes(`${sep}gen${sep}`));
}

/** Comments hold prose such as "import this from …", so they are blanked, line by line. */
function withoutComments(text: string): string {
  return text
    .replace(/\/\*[\s\S]*?\*\//g, (comment) => comment.replace(/[^\n]/g, ' '))
    .replace(/(^|[^:'"`])\/\/.*$/gm, '$1');
}

function importsOf(file: string): Import[] {
  const text = withoutComments(readFileSync(file, 'utf8'));
  const statements =
    /\b(?:import|export)\b(\s+type\b)?([^'";]*?\bfrom\s*|\s*)['"]([^'"]+)['"]|\bimport\(\s*['"]([^'"]+)['"]/g;
  return [...text.matchAll(statements)].map((match) => {
    const names = match[2] ?? '';
    // `import { type A, type B } from` brings in no value either.
    const listed =
      /\{([^}]*)\}/
        .exec(names)?.[1]
        ?.split(',')
        .filter((name) => name.trim() !== '') ?? [];
    return {
      file: relative(source, file),
      line: text.slice(0, match.index).split('\n').length,
      specifier: match[3] ?? match[4] ?? '',
      typesOnly: match[1] !== undefined || (listed.length > 0 && listed.every((name) => /^\s*type\s/.test(name))),
    };
  });
}

/** The folder of src/ an import leads to; '' for a file directly in src/, undefined for a package. */
function targetFolder(item: Import): string | undefined {
  if (!item.specifier.startsWith('.')) return undefined;
  const [first = '', second] = relative(source, resolve(dirname(join(source, item.file)), item.specifier)).split(sep);
  return second === undefined ? '' : first;
}

const where = (item: Import) => `src/${item.file}:${item.line} imports ${item.specifier}`;

describe('the layers', () => {
  for (const [folder, rule] of Object.entries(allowed)) {
    it(`src/${folder} imports only what it may`, () => {
      const wrong = sourceFiles(folder)
        .flatMap(importsOf)
        .filter((item) => {
          const target = targetFolder(item);
          if (target === undefined || target === folder) return false;
          // KoiError and the failpoints are what every layer shares that may throw; each rehearses as often.
          if (target === '') return folder === 'wire' || folder === 'core' || !shared.test(item.specifier);
          const harmless = item.typesOnly || vocabulary.some((module) => item.specifier.endsWith(`/${module}`));
          return !(rule.values.includes(target) || (harmless && (rule.types ?? []).includes(target)));
        });
      expect(wrong.map(where)).toEqual([]);
    });
  }

  it('cover every folder of src/ but the commands, which may import anything', () => {
    const folders = readdirSync(source, { withFileTypes: true }).filter((entry) => entry.isDirectory());
    expect(folders.map((entry) => entry.name).filter((name) => name !== 'cli' && !(name in allowed))).toEqual([]);
  });

  it('share a vocabulary that brings nothing else along', () => {
    const brought = vocabulary
      .flatMap((module) => importsOf(join(source, module.replace(/js$/, 'ts'))))
      .filter((item) => !item.typesOnly && !vocabulary.some((module) => item.specifier.endsWith(basename(module))));
    expect(brought.map(where)).toEqual([]);
  });

  it('are seen by the check', () => {
    expect(sourceFiles('core').flatMap(importsOf).length).toBeGreaterThan(0);
  });
});

describe('the pure layers', () => {
  for (const folder of ['wire', 'core']) {
    it(`src/${folder} uses no package and no part of Node`, () => {
      const wrong = sourceFiles(folder)
        .flatMap(importsOf)
        .filter((item) => !item.specifier.startsWith('.'));
      expect(wrong.map(where)).toEqual([]);
    });

    it(`src/${folder} reads no clock, no randomness and nothing of its surroundings`, () => {
      const impure =
        /\bDate\b|\bperformance\b|\bMath\.random\b|\bcrypto\b|\bprocess\b|\bset(?:Timeout|Interval|Immediate)\b|\bqueueMicrotask\b|\bfetch\b|\brequire\b|\basync\b|\bawait\b|\bconsole\b/;
      const wrong = sourceFiles(folder).flatMap((file) =>
        withoutComments(readFileSync(file, 'utf8'))
          .split('\n')
          .flatMap((text, index) => {
            // What stands in quotes is data: a reason may well be called 'process_lost'.
            const found = impure.exec(text.replace(/'[^']*'|"[^"]*"|`[^`]*`/g, "''"));
            return found === null ? [] : [`src/${relative(source, file)}:${index + 1} uses ${found[0]}`];
          }),
      );
      expect(wrong).toEqual([]);
    });
  }
});
