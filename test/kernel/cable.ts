import { execFileSync } from 'node:child_process';
import { statSync } from 'node:fs';
import { netnsInode } from '../../src/kernel/host-identity.js';
import { KernelMonitor } from '../../src/kernel/monitor.js';

/** Runs iproute2, words separated by blanks. */
export function ip(command: string): string {
  return execFileSync('ip', command.split(' '), { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
}

const namespace = process.env.KOI_TEST_NAMESPACE;
if (namespace === undefined || netnsInode() !== statSync(`/run/netns/${namespace}`).ino) {
  throw new Error('these suites change the network: run them through kernel.test.ts, in a namespace of their own');
}

export interface Cable {
  readonly near: number;
  readonly far: number;
  readonly nearName: string;
  readonly farName: string;
  remove(): void;
}

let cables = 0;

/** A veth pair, both ends up: what is sent into one end comes out of the other. */
export async function layCable(): Promise<Cable> {
  const nearName = `near${process.pid % 1000}x${cables}`;
  const farName = `far${process.pid % 1000}x${cables++}`;
  ip(`link add ${nearName} type veth peer name ${farName}`);
  for (const name of [nearName, farName]) {
    ip(`link set ${name} addrgenmode none`);
    ip(`link set ${name} up`);
  }
  const monitor = KernelMonitor.open();
  monitor.start();
  try {
    const bothUp = () => {
      const near = monitor.linkByName(nearName);
      const far = monitor.linkByName(farName);
      return near?.operstate === 'up' && far?.operstate === 'up' ? { near: near.ifindex, far: far.ifindex } : undefined;
    };
    const indexes = await monitor.waitFor(bothUp, 2000, `${nearName} and ${farName} up`);
    return { ...indexes, nearName, farName, remove: () => ip(`link del ${nearName}`) };
  } finally {
    monitor.close();
  }
}

/** The value of an answer that must be good. */
export function good<T>(answer: { ok: true; value: T } | { ok: false; errno: string; message: string }): T {
  if (!answer.ok) throw new Error(`${answer.errno}: ${answer.message}`);
  return answer.value;
}

export const milliseconds = (duration: number) => new Promise<void>((resolve) => setTimeout(resolve, duration));
