import { type ChildProcessByStdio, spawn } from 'node:child_process';
import type { Readable, Writable } from 'node:stream';

type Child = ChildProcessByStdio<Writable, Readable, Readable>;

/** One of the lab's C programs, running until the lab ends: it sees its stdin close, or its parent die. */
export interface Tool {
  /** Why the program is not running any more, or undefined while it is. */
  failure(): string | undefined;
  /** Writes to its standard input. */
  say(text: string): void;
  /** Ends it; afterwards it has not failed. */
  end(): void;
}

/** Starts a program that prints lines, and hands over each complete line. */
export function startLineTool(program: string, args: readonly string[], onLine: (line: string) => void): Tool {
  const child = start(program, args);
  let rest = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    const lines = `${rest}${text}`.split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) onLine(line);
  });
  return supervise(program, child);
}

/** Starts a program that writes binary records of one size, and hands over whole records, many at a time. */
export function startRecordTool(
  program: string,
  args: readonly string[],
  recordBytes: number,
  onRecords: (records: Buffer) => void,
): Tool {
  const child = start(program, args);
  let rest: Buffer = Buffer.alloc(0);
  child.stdout.on('data', (chunk: Buffer) => {
    const all = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    const whole = all.length - (all.length % recordBytes);
    rest = all.subarray(whole);
    onRecords(all.subarray(0, whole));
  });
  return supervise(program, child);
}

function start(program: string, args: readonly string[]): Child {
  return spawn(program, args, { stdio: ['pipe', 'pipe', 'pipe'] });
}

function supervise(program: string, child: Child): Tool {
  let failure: string | undefined;
  let said = '';
  let ended = false;
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    said += text;
  });
  child.on('error', (error) => {
    if (!ended) failure = `${program}: ${error.message}`;
  });
  child.on('exit', (code, signal) => {
    if (!ended) failure ??= `${program} ended (${signal ?? code}) ${said.trim()}`;
  });
  return {
    failure: () => failure,
    say: (text) => void child.stdin.write(text),
    end: () => {
      ended = true;
      child.stdin.end();
    },
  };
}
