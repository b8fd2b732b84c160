import { type ChildProcess, spawn } from 'node:child_process';

/** What the kernel tells of the interfaces and addresses of a namespace, with times. */
export class KernelWatch {
  readonly #child: ChildProcess;
  #text = '';

  constructor(netns: string) {
    this.#child = spawn('stdbuf', ['-oL', 'ip', '-n', netns, '-o', '-tshort', 'monitor', 'link', 'address'], {
      stdio: ['ignore', 'pipe', 'inherit'],
      env: { ...process.env, TZ: 'UTC' },
    });
    this.#child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      this.#text += text;
    });
  }

  /** A line each, as iproute2 words it, in milliseconds of the wall clock. */
  lines(): { readonly atMs: number; readonly what: string }[] {
    return this.#text.split('\n').flatMap((line) => {
      const [, time = '', what = ''] = /^\[(\S+)\] (.*)$/.exec(line) ?? [];
      return what === '' ? [] : [{ atMs: Date.parse(`${time.slice(0, 23)}Z`), what }];
    });
  }

  stop(): void {
    this.#child.kill('SIGKILL');
  }
}
