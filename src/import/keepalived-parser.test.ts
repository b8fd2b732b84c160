import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
import { type Directive, parseKeepalived } from './keepalived-parser.js';

const filesOf = (texts: Readonly<Record<string, string>>) => ({
  read: (path: string) => texts[path] ?? { message: 'is not there', remedy: 'create it' },
  glob: (pattern: string) =>
    Object.keys(texts)
      .filter((name) => new RegExp(`^${pattern.replaceAll('.', '\\.').replaceAll('*', '[^/]*')}$`).test(name))
      .sort(),
  resolve: (from: string, path: string) => resolve(dirname(from), path),
});

type Shape = readonly (string | readonly [string, Shape])[];
const shape = (directives: readonly Directive[]): Shape =>
  directives.map(({ name, values, block }) => {
    const words = [name, ...values].join('|');
    return block === undefined ? words : [words, shape(block)];
  });

const parse = (text: string, configId = 'r1', others: Readonly<Record<string, string>> = {}) =>
  parseKeepalived(
    '/etc/keepalived/keepalived.conf',
    configId,
    filesOf({ '/etc/keepalived/keepalived.conf': text, ...others }),
  );

const shapeOf = (...given: Parameters<typeof parse>): Shape => {
  const parsed = parse(...given);
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.problems));
  return shape(parsed.directives);
};

const problemsOf = (...given: Parameters<typeof parse>): string[] => {
  const parsed = parse(...given);
  return parsed.ok
    ? []
    : parsed.problems.map(({ place, message }) => `${place.file}:${place.line}:${place.column}: ${message}`);
};

describe('statements', () => {
  it('are words and blocks, wherever the brace stands', () => {
    const text = 'a {\n b 1 "x y" # c\n}\nc\n{\n d } ! no\ne { f } g\nh ${UNDEFINED}\n';
    expect(shapeOf(text)).toEqual([['a', ['b|1|x y']], ['c', ['d']], ['e', ['f']], 'g', 'h|${UNDEFINED}']);
  });

  it('keep comment signs in quotes and behind a backslash', () => {
    expect(shapeOf('pass "a#b!c"\nword a\\#b\n')).toEqual(['pass|a#b!c', 'word|a#b']);
  });
});

describe('conditions and parameters', () => {
  it('choose lines by id', () => {
    expect(shapeOf('@r1 a\n@r2 b\n@^r1 c\n@^r2 d\n@r1 $P=5\n@r2 $P=6\np $P\n')).toEqual(['a', 'd', 'p|5']);
  });

  it('are replaced when they are used', () => {
    expect(shapeOf('$B=10.2.${S}\n$S=0\n${B}.1/32\n$S=10\n${B}.1/32\n')).toEqual(['10.2.0.1/32', '10.2.10.1/32']);
  });

  it('may have several lines', () => {
    const text = '$I= \\\n i VI_${N} { \\\n  @r1 p 1 \\\n  @r2 p 2 \\\n }\n\n$N=0\n$I\n$N=1\n$I\n';
    expect(shapeOf(text)).toEqual([
      ['i|VI_0', ['p|1']],
      ['i|VI_1', ['p|1']],
    ]);
  });

  it('run through sequences and lists', () => {
    expect(shapeOf('~SEQx(A, 0x90, 0x10, 0xa0) ~SEQ(B, 2, 1) f::${A}:${B}\n')).toEqual([
      'f::90:2',
      'f::90:1',
      'f::a0:2',
      'f::a0:1',
    ]);
    expect(shapeOf('~LST({X, Y}, {10,1},{20,4}) 1.${X}.${Y}\n')).toEqual(['1.10.1', '1.20.4']);
  });
});

describe('includes', () => {
  it('are relative to the file that has them', () => {
    expect(
      shapeOf('include conf.d/*.conf\n', 'r1', {
        '/etc/keepalived/conf.d/b.conf': 'b\n',
        '/etc/keepalived/conf.d/a.conf': 'a\ninclude sub/x\n',
        '/etc/keepalived/conf.d/sub/x': 'x\n',
      }),
    ).toEqual(['a', 'x', 'b']);
  });

  it('that go round in a circle are an error where they stand', () => {
    expect(problemsOf('\n  include x\n', 'r1', { '/etc/keepalived/x': 'include keepalived.conf\n' })).toEqual([
      '/etc/keepalived/x:1:1: the file includes itself: /etc/keepalived/keepalived.conf → /etc/keepalived/x → /etc/keepalived/keepalived.conf',
    ]);
  });
});

describe('what is wrong', () => {
  it.each([
    ['a {\n b\n', ['1:1: the block of a is not closed']],
    ['a\n  }\n', ["2:3: there is one '}' too many"]],
    ['a "b\n', ['1:3: the quote is not closed']],
    ['include nothing\n', ['1:1: the include of /etc/keepalived/nothing finds no file']],
    ['$A=x $A\n$A\n', ["2:1: 'x x x"]],
    ['~SEQ(A, 1, -1, 5) x\n', ["1:1: '~SEQ(A, 1, -1, 5)' is not a sequence"]],
  ])('%j is told with its place', (text, wanted) => {
    const found = problemsOf(text).map((line) => line.replace('/etc/keepalived/keepalived.conf:', ''));
    expect(found).toHaveLength(wanted.length);
    found.forEach((line, at) => {
      expect(line.startsWith(wanted[at] ?? '?')).toBe(true);
    });
  });
});

describe('what would take too long', () => {
  const twice = (name: string): string => `$${name}= \\\n$A${name} \\\n$A${name}\n\n`;
  const names = Array.from({ length: 40 }, (_, at) => 'A'.repeat(at + 1)).reverse();
  it.each([
    ['~SEQ(A, 1, 99999) ~SEQ(B, 1, 99999) $X=1', '1:1: the configuration takes too long to expand'],
    ['~SEQ(A, 1, 9) ~SEQ(B, 1, 99999) x', '1:1: the configuration expands to more than 200000 lines'],
    ['~SEQ(A, 1, 100002) x', "1:1: '~SEQ(A, 1, 100002)' has too many rounds"],
    [`${names.map(twice).join('')}$A\n`, '161:1: the configuration takes too long to expand'],
    ['$A=${B}${B}\n$B=${A}${A}\n${A}\n', "3:1: '${"],
    [`a ${'x'.repeat(70_000)}`, '1:1: the line is longer than 65536 characters'],
    [`${'a {\n'.repeat(100_000)}`, '9:1: blocks are nested more than 8 deep'],
    [`${'@r1 '.repeat(16_000)}x {`, '1:1: the block of x is not closed'],
    ['a "\n'.repeat(1_000), '1:3: the quote is not closed'],
  ])('case %# is refused where it stands, and soon', (text, wanted) => {
    const before = process.cpuUsage();
    const [first = ''] = problemsOf(text);
    expect(first.replace('/etc/keepalived/keepalived.conf:', '').startsWith(wanted), first).toBe(true);
    expect(process.cpuUsage(before).user / 1_000).toBeLessThan(5_000);
  });

  it('includes that multiply end in the same way', () => {
    const files = Object.fromEntries(
      Array.from({ length: 25 }, (_, at) => [`/etc/keepalived/${at}`, `include ${at + 1}\n`.repeat(2)]),
    );
    const [first = ''] = problemsOf('include 0\n', 'r1', { ...files, '/etc/keepalived/25': '\n' });
    expect(first).toMatch(/^\/etc\/keepalived\/\d+:\d:1: the configuration takes too long to expand/);
  });
});

const samples = '/usr/share/doc/keepalived/samples';
describe.skipIf(!existsSync(samples))('the samples of the keepalived package', () => {
  const names = existsSync(samples) ? readdirSync(samples).filter((name) => name.startsWith('keepalived.conf')) : [];
  it.each(names)('%s is read', (name) => {
    const path = join(samples, name);
    const parsed = parseKeepalived(path, 'high', filesOf({ [path]: readFileSync(path, 'utf8') }));
    expect(parsed.ok || parsed.problems).toBe(true);
    if (parsed.ok) expect(parsed.directives.length).toBeGreaterThan(0);
  });
});
