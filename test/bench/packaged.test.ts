import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { NotStagedError, type Staging, stage } from './packaged.js';

const outside = '/nowhere/node';
let checkout: string;
let compiled: number;

const file = (...path: string[]): string => join(checkout, ...path);
const staged = (...path: string[]): string => file('.lab/packaged', ...path);

function put(path: string, text: string): string {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
  return path;
}

const staging = (changed: Partial<Staging> = {}): Staging => ({
  checkout,
  tree: staged(),
  fetchNode: () => outside,
  compileNative: (node, work) => {
    compiled += 1;
    const text = `${node} ${compiled}`;
    return {
      binding: put(join(work, 'own/koi_kernel.node'), text),
      guard: put(join(work, 'own/koi-guard'), text),
      rawSocket: put(join(work, 'raw.node'), text),
    };
  },
  ...changed,
});

beforeEach(() => {
  checkout = mkdtempSync(join(tmpdir(), 'koi-packaged-'));
  compiled = 0;
  put(file('package.json'), '{"version": "1.2.3"}');
  put(file('binding.gyp'), '{}');
  put(file('src/kernel/native/binding.c'), 'int first;');
  put(file('dist/cli/main.js'), 'first');
  put(file('dist/cli/gone.js'), '');
  for (const name of ['raw-socket', 'nan', 'pino']) {
    put(file('node_modules', name, 'package.json'), '{"version": "1.0.0"}');
    put(file('node_modules', name, 'index.js'), '');
  }
});
afterEach(() => rmSync(checkout, { recursive: true }));

describe('Koi for the Node of the package', () => {
  it('finds what is compiled for it beside itself, and every other module in the checkout', () => {
    expect(stage(staging())).toEqual({ node: '/nowhere/node/bin/node', dist: staged('dist') });
    const { resolve } = createRequire(staged('dist/cli/main.js'));
    expect(resolve('raw-socket')).toBe(staged('node_modules/raw-socket/index.js'));
    expect(resolve('pino')).toBe(file('node_modules/pino/index.js'));
    const native = ['node_modules/raw-socket/build/Release/raw.node', 'build/Release/koi_kernel.node'];
    for (const path of [...native, 'build/Release/koi-guard']) {
      expect(readFileSync(staged(path), 'utf8'), path).toBe(`${outside} 1`);
    }
    expect(readFileSync(staged('package.json'), 'utf8')).toBe('{"version": "1.2.3"}');
  });

  it('is what was built last, and is compiled again only after its sources have changed', () => {
    stage(staging());
    put(file('dist/cli/main.js'), 'second');
    rmSync(file('dist/cli/gone.js'));
    stage(staging());
    expect(readFileSync(staged('dist/cli/main.js'), 'utf8')).toBe('second');
    expect(existsSync(staged('dist/cli/gone.js'))).toBe(false);
    expect(compiled).toBe(1);

    put(file('src/kernel/native/binding.c'), 'int second;');
    stage(staging());
    expect(compiled).toBe(2);
    put(file('node_modules/raw-socket/package.json'), '{"version": "1.0.1"}');
    stage(staging());
    expect(compiled).toBe(3);
    expect(readFileSync(staged('build/Release/koi-guard'), 'utf8')).toBe(`${outside} 3`);
  });

  it('is compiled once more where that failed', () => {
    const failing = (): never => {
      throw new Error('g++ is missing');
    };
    expect(() => stage(staging({ compileNative: failing }))).toThrow(/g\+\+ is missing/);
    stage(staging());
    expect(compiled).toBe(1);
  });

  it('names the cause and the remedy where the Node cannot be fetched', () => {
    const fetchNode = (): never => {
      throw new Error('npm pack failed (1):\nnpm error code ENOTFOUND\n');
    };
    const failing = (): unknown => stage(staging({ fetchNode }));
    expect(failing).toThrow(NotStagedError);
    expect(failing).toThrow(
      /which the package brings: npm pack failed \(1\):\nnpm error code ENOTFOUND\n.*--node this$/,
    );
  });
});
