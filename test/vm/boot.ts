import { spawn } from 'node:child_process';
import { createWriteStream, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Image } from './image.js';

const output = fileURLToPath(new URL('../../.lab/vm', import.meta.url));

/**
 * Boots a machine that runs one scenario of the guest and powers off; the disk is thrown away. Emulated: it is as slow on
 * every processor, and needs none of this machine's devices.
 *
 * @returns the lines that the scenario printed
 * @throws Error with the console's last lines where the machine does not end in time
 */
export async function runInMachine(
  image: Image,
  scenario: string,
  options: readonly string[],
  deadlineMs: number,
): Promise<string[]> {
  mkdirSync(output, { recursive: true });
  const consoleFile = join(output, `${scenario}.console`);
  const kernelArguments = `console=ttyS0 panic=-1 quiet loglevel=4 koi.scenario=${[scenario, ...options].join(',')}`;
  const child = spawn(
    'qemu-system-x86_64',
    [
      ...['-accel', 'tcg,thread=multi', '-cpu', 'max', '-smp', '2', '-m', '1024'],
      ...['-nodefaults', '-no-user-config', '-nographic', '-no-reboot', '-snapshot'],
      ...['-kernel', image.kernel, '-initrd', image.initramfs, '-append', kernelArguments],
      ...['-drive', `file=${image.disk},format=raw,if=virtio`],
      ...['-serial', `file:${consoleFile}`, '-serial', 'stdio'],
    ],
    { stdio: ['ignore', 'pipe', 'pipe'] },
  );
  const transcript = createWriteStream(join(output, `${scenario}.log`));
  let text = '';
  let complaint = '';
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    text += chunk;
    transcript.write(chunk);
  });
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
    complaint += chunk;
  });
  const ended = new Promise<string | undefined>((resolve) => {
    child.on('error', (error) => resolve(error.message));
    child.on('exit', (code, signal) => resolve(code === 0 ? undefined : `qemu ended (${signal ?? code}) ${complaint}`));
  });
  const timer = setTimeout(() => child.kill('SIGKILL'), deadlineMs);
  const failure = await ended;
  clearTimeout(timer);
  transcript.end();
  if (failure !== undefined) {
    throw new Error(
      `${scenario} did not end within ${deadlineMs / 1000} s: ${failure}; see ${consoleFile} and the log beside it`,
    );
  }
  return text.split(/\r?\n/).filter((line) => line !== '');
}
