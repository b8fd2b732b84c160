import { closeSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { KoiProgram } from '../lab/koi.js';
import { type Bench, isAsked } from './bench-lab.js';
import type { Note } from './figures.js';
import { History, type RawRecord } from './history.js';
import { runWorker } from './worker.js';

const virtualRouters = 200;

interface Result {
  readonly events: number;
  readonly tookMs: number;
  readonly regressions: number;
  readonly unreadable: number;
  readonly virtualRouters: number;
  readonly broken: number;
}

/** How fast a long log is folded, as `koi replay` and every agent at its start do, and re-checked, as `koi audit` does. */
export async function replay({ rounds, events, of, program }: Bench, note: Note): Promise<void> {
  if (!isAsked('koi', of)) return;
  const directory = mkdtempSync(join(tmpdir(), 'koi-bench-'));
  try {
    const file = join(directory, 'events');
    write(file, events);
    for (let round = 1; round <= rounds; round++) {
      note('koi', `replay of ${events} events, decoded and folded`, '1/s', await rate(program, file, 'fold'));
      note('koi', `audit of ${events} events, decoded and checked`, '1/s', await rate(program, file, 'audit'));
      note(
        'koi',
        `masters that held together in ${events} events, decoded and read`,
        '1/s',
        await rate(program, file, 'together'),
      );
    }
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

async function rate(program: KoiProgram, file: string, what: 'fold' | 'audit' | 'together'): Promise<number> {
  const result = (await runWorker('replay-worker.mjs', program, [file, what])) as Result;
  const isWhole = what === 'fold' ? result.virtualRouters === virtualRouters : result.broken === 0;
  if (!isWhole || result.regressions + result.unreadable > 0) {
    throw new Error(`the log in which all is well was read as another one: ${JSON.stringify(result)}`);
  }
  return (result.events * 1000) / result.tookMs;
}

function write(file: string, events: number): void {
  const history = new History(virtualRouters);
  const output = openSync(file, 'w');
  try {
    for (let written = 0; written < events; ) {
      const records = history.next();
      writeSync(output, Buffer.concat(records.map(packed)));
      written += records.length;
    }
  } finally {
    closeSync(output);
  }
}

function packed({ subject, storedAtMs, encoded }: RawRecord): Buffer {
  const head = Buffer.alloc(2 + subject.length + 10);
  head.writeUInt16LE(subject.length, 0);
  head.write(subject, 2, 'latin1');
  head.writeDoubleLE(storedAtMs, 2 + subject.length);
  head.writeUInt16LE(encoded.length, 2 + subject.length + 8);
  return Buffer.concat([head, encoded]);
}
