import { type ChildProcess, spawn } from 'node:child_process';
import { expect } from 'vitest';
import { waitUntil } from '../lab/wait.js';

/** What the client's wire carries in the name of a virtual address, by tcpdump. */
export class AddressWire {
  readonly #child: ChildProcess;
  readonly #vip: string;
  readonly #virtualMac: string;
  #text = '';

  constructor(netns: string, device: string, vip: string, virtualMac: string) {
    // The sender's address: whoever merely asks is not kept.
    const sender = `arp[14:4] = 0x${Buffer.from(vip.split('.').map(Number)).toString('hex')}`;
    const words = ['netns', 'exec', netns, 'tcpdump', '-i', device, '-enlU', '--immediate-mode', sender];
    this.#child = spawn('ip', words, { stdio: ['ignore', 'pipe', 'pipe'] });
    this.#vip = vip;
    this.#virtualMac = virtualMac;
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream?.setEncoding('utf8').on('data', (text: string) => {
        this.#text += text;
      });
    }
  }

  ready(): Promise<number> {
    const notYet = () => (this.#text.includes('listening on') ? undefined : this.#text);
    return waitUntil('tcpdump to listen', notYet, { deadlineMs: 10_000 });
  }

  /**
   * ARP in which somebody is the virtual address: what decides where clients send. Other replies leave by the parent, with
   * its MAC, by design.
   */
  spoken(): { readonly right: number; readonly wrong: readonly string[] } {
    const isSpoken = (line: string): boolean =>
      line.includes(`Reply ${this.#vip} is-at`) || line.includes(`tell ${this.#vip}`);
    const spoken = this.#text.split('\n').filter(isSpoken);
    const wrong = spoken.filter((line) => !line.includes(` ${this.#virtualMac} > `));
    return { right: spoken.length - wrong.length, wrong };
  }

  expectNothingWrong(): void {
    const { right, wrong } = this.spoken();
    expect(right).toBeGreaterThan(0);
    expect(wrong).toEqual([]);
  }

  stop(): void {
    this.#child.kill('SIGKILL');
  }
}
