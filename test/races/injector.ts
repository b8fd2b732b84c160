import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface, type Interface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../..', import.meta.url));
const answerMs = 120_000;

/** Sends frames into a LAN from a host's namespace: {@link file://./inject.ts}. */
export class Injector {
  readonly #child: ChildProcess;
  readonly #lines: Interface;

  private constructor(netns: string, device: string) {
    const program = ['--import', 'tsx', fileURLToPath(new URL('./inject.ts', import.meta.url)), device];
    this.#child = spawn('ip', ['netns', 'exec', netns, process.execPath, ...program], {
      cwd: root,
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    if (this.#child.stdout === null) throw new Error('no output');
    this.#lines = createInterface({ input: this.#child.stdout });
  }

  static async begin(netns: string, device = 'eth1'): Promise<Injector> {
    const injector = new Injector(netns, device);
    await injector.#says();
    return injector;
  }

  async #says(): Promise<string> {
    const [line] = (await once(this.#lines, 'line', { signal: AbortSignal.timeout(answerMs) })) as [string];
    return line;
  }

  /** @returns how many of them have left */
  async send(frame: Uint8Array, count = 1, perSecond = 1000): Promise<number> {
    const said = this.#says();
    this.#child.stdin?.write(`${count} ${perSecond} ${Buffer.from(frame).toString('hex')}\n`);
    return Number(await said);
  }

  end(): void {
    this.#child.kill('SIGKILL');
  }
}
