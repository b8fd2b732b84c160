/**
 * A stand-in for the dataplane: starts a guard, registers what it is told, keeps the heartbeat, and obeys one command a
 * line. It prints one JSON object a line. Run inside the network namespace under test.
 */
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { type GuardLink, startGuard } from '../../src/dataplane/guard-link.js';

interface Registration {
  readonly vr: string;
  readonly addresses: { ifindex: number; family: 4 | 6; prefixLength: number; bytes: number[] }[];
  readonly adverts: { ifindex: number; frame: number[]; routed?: boolean }[];
  readonly namespace?: string;
}

interface Setting {
  readonly binary: string;
  readonly group: number;
  readonly timeoutMs: number;
  readonly heartbeatMs: number;
  readonly registrations: Registration[];
}

const setting = JSON.parse(process.argv[2] ?? '') as Setting;
let link: GuardLink | undefined;

function say(event: string, more: object = {}): void {
  process.stdout.write(`${JSON.stringify({ event, ...more })}\n`);
}

async function begin(): Promise<void> {
  link = await startGuard({
    ...setting,
    onReport: (report) => say('report', { report }),
    onExit: (exit) => {
      say('guardGone', { exit });
      void begin();
    },
  });
  for (const { vr } of setting.registrations) await register(vr);
  say('registered', { guardPid: link.pid });
}

async function register(name: string): Promise<void> {
  const { addresses = [], adverts = [], namespace } = setting.registrations.find(({ vr }) => vr === name) ?? {};
  await link?.put(
    name,
    addresses.map((address) => ({ ...address, bytes: Uint8Array.from(address.bytes) })),
    adverts.map((advert) => ({ ...advert, frame: Uint8Array.from(advert.frame) })),
    namespace,
  );
}

const renewals: NodeJS.Timeout[] = [];

/** A lease of `vr`, or with `all` of everything registered, that ends so many milliseconds from now. */
async function end(vr: string, ms: number): Promise<void> {
  const endNs = process.hrtime.bigint() + BigInt(ms) * 1_000_000n;
  const names = vr === 'all' ? setting.registrations.map((each) => each.vr) : [vr];
  try {
    await Promise.all(names.map((name) => link?.setDeadline(name, endNs)));
    say('deadline', { endNs: String(endNs) });
  } catch (error) {
    say('refused', { message: (error as Error).message });
  }
}

async function obey(line: string): Promise<void> {
  const [command, ...words] = line.split(' ');
  switch (command) {
    case 'bye':
      await link?.bye();
      say('bye');
      process.exit(0);
      break;
    case 'hang':
      for (;;);
    case 'child':
      say('child', { pid: spawn('sleep', ['600'], { stdio: 'ignore', detached: true }).pid });
      break;
    case 'deadline':
      await end(words[0] ?? '', Number(words[1]));
      break;
    case 'renew': {
      const [vr = '', ms, everyMs] = words;
      renewals.push(setInterval(() => void end(vr, Number(ms)), Number(everyMs)));
      break;
    }
    case 'lapse':
      for (const renewal of renewals.splice(0)) clearInterval(renewal);
      say('lapse');
      break;
    case 'put':
      await register(words[0] ?? '');
      say('put');
      break;
    case 'drop':
      await link?.drop(words[0] ?? '');
      say('dropped');
      break;
    case 'beats':
      setTimeout(() => say('beats'), 5 * setting.heartbeatMs);
      break;
    default:
      say('unknown', { line });
  }
}

await begin();
setInterval(() => link?.heartbeat(), setting.heartbeatMs);
createInterface({ input: process.stdin }).on('line', (line) => void obey(line));
