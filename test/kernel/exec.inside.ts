import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterEach, expect, test } from 'vitest';

const script = fileURLToPath(new URL('./restart-without-capabilities.ts', import.meta.url));
let child: ChildProcess | undefined;

afterEach(async () => {
  if (child?.exitCode === null && child.signalCode === null) {
    const exited = once(child, 'exit');
    child.kill('SIGKILL');
    await exited;
  }
});

/** Starts the script with a mask of capabilities to keep, and waits for what its second life prints. */
async function secondLife(mask: string): Promise<{ pid: number; text: string }> {
  child = spawn(process.execPath, ['--import', 'tsx', script, mask], { stdio: ['ignore', 'pipe', 'inherit'] });
  const output = child.stdout;
  if (output === null || child.pid === undefined) throw new Error('no child');
  const [text] = await once(createInterface({ input: output }), 'line', { signal: AbortSignal.timeout(10_000) });
  return { pid: child.pid, text: String(text) };
}

/** The capability sets of every thread of a process, as /proc prints them. */
function capabilitiesOf(pid: number): Record<string, string>[] {
  return readdirSync(`/proc/${pid}/task`).map((thread) => {
    const status = readFileSync(`/proc/${pid}/task/${thread}/status`, 'utf8');
    const entries = [...status.matchAll(/^(Cap\w+|NoNewPrivs):\s*(\w+)$/gm)];
    return Object.fromEntries(entries.map((match) => [match[1] ?? '', match[2] ?? '']));
  });
}

const none = '0000000000000000';

test('the second life has the same pid, its output, and no capability in any thread', async () => {
  const { pid, text } = await secondLife('0');
  expect(text).toBe(`second life ${pid} with argument and blank`);
  const threads = capabilitiesOf(pid);
  expect(threads.length).toBeGreaterThan(4);
  for (const thread of threads) {
    expect(thread).toEqual({ CapInh: none, CapPrm: none, CapEff: none, CapBnd: none, CapAmb: none, NoNewPrivs: '1' });
  }
});

test('a mask keeps what it names and no more', async () => {
  const { pid } = await secondLife(String(1 << 13)); // CAP_NET_RAW
  for (const thread of capabilitiesOf(pid)) {
    expect(thread).toMatchObject({ CapEff: '0000000000002000', CapBnd: '0000000000002000' });
  }
});

test('a program that is not there is an error that names it', async () => {
  const started = spawn(process.execPath, ['--import', 'tsx', script, '0', '/nowhere/node'], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  child = started;
  let errors = '';
  started.stderr?.on('data', (text) => {
    errors += text;
  });
  const [code] = await once(started, 'close', { signal: AbortSignal.timeout(10_000) });
  expect(code).not.toBe(0);
  expect(errors).toMatch(/exec \/nowhere\/node.*ENOENT/);
});
