import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { Socket } from 'node:net';
import { fileURLToPath } from 'node:url';
import { KoiError, type KoiErrorCode } from '../koi-error.js';
import {
  decodeMessages,
  encodeCommand,
  type GuardAddress,
  type GuardAdvert,
  type GuardCommand,
  type GuardReport,
  type GuardStatus,
  guardLimits,
} from './guard-protocol.js';
import { GuardSlots } from './guard-slots.js';

export type { GuardAddress, GuardAdvert, GuardReport } from './guard-protocol.js';

/** Why a guard that was not sent away is gone. It is dead for certain when this is told, and has fenced nothing. */
export interface GuardExit {
  readonly reason: 'exited' | 'pipe_full' | 'unresponsive' | 'protocol_error';
  readonly message: string;
}

export interface GuardOptions {
  /** Path of koi-guard; default: where the build puts it. */
  readonly binary?: string;
  /** Link group of the vMAC links, deleted as a whole when the guard fences; 0 for none. */
  readonly group: number;
  /** How long the dataplane may be silent while a VR is registered. */
  readonly timeoutMs: number;
  /** Deadline of every acknowledgement. Default 1,000. */
  readonly ackTimeoutMs?: number;
  /** The guard is gone without `bye()`: start another and register everything again. Called once, never during a call. */
  onExit(exit: GuardExit): void;
  onReport(report: GuardReport): void;
}

/**
 * The dataplane's end of its guard. The promises reject with a KoiError naming the VR: `protocol` where the guard refuses,
 * `timeout` where it does not answer, `internal` where it is gone. A promise may be ignored: whatever makes it reject and
 * concerns more than the one command also comes through `onExit`.
 */
export interface GuardLink {
  readonly pid: number;
  readonly alive: boolean;
  /**
   * Registers what to take off and what to send for `vr`, replacing what was registered. Wait for it *before* adding an
   * address, or a crash in between leaves the address behind. The addresses may be in a named network `namespace`; the
   * guard keeps that alive until they are dropped.
   */
  put(
    vr: string,
    addresses: readonly GuardAddress[],
    adverts: readonly GuardAdvert[],
    namespace?: string,
  ): Promise<void>;
  /** Forgets `vr` and its deadline. To be called *after* its addresses are off. */
  drop(vr: string): Promise<void>;
  /**
   * The end of the lease of a registered `vr`, on the clock of `process.hrtime.bigint()`: then the guard takes its addresses
   * off, sends its adverts and reports `lease_ended`, whatever the heartbeat does, and keeps them off until the VR is
   * dropped or put again. `undefined` clears it.
   */
  setDeadline(vr: string, monotonicNs: bigint | undefined): Promise<void>;
  /** To be called from the loop that the guard watches, at least three times in `timeoutMs`. */
  heartbeat(): void;
  /** Sends the guard away: it touches nothing. Resolves when it is gone, at the latest after the deadline, then killed. */
  bye(): Promise<void>;
}

const maxQueuedBytes = 1024 * 1024;
const maxPendingCommands = 4096;
const maxUnansweredHeartbeats = 20;
const byeTimeoutMs = 500;
const lowDescriptors = 512;

/** Where the build puts the guard, seen from `src/` and from `dist/` alike. */
export function guardBinary(): string {
  return fileURLToPath(new URL('../../build/Release/koi-guard', import.meta.url));
}

/**
 * Starts a guard in a session of its own and greets it. Resolves when it has proved its sockets and privileges.
 * Rejects with a KoiError: `privilege` without CAP_NET_RAW and CAP_NET_ADMIN, `kernel` where the binary is missing or
 * cannot work here, `timeout` where it does not answer.
 */
export async function startGuard(options: GuardOptions): Promise<GuardLink> {
  const session = new GuardSession(options);
  await session.greet();
  return session;
}

interface Pending {
  readonly command: GuardCommand;
  readonly about: string;
  readonly timer: NodeJS.Timeout;
  resolve(): void;
  reject(error: KoiError): void;
}

class GuardSession implements GuardLink {
  readonly #options: GuardOptions;
  readonly #child: ChildProcess;
  readonly #commands: Socket;
  readonly #reports: Socket;
  readonly #pending = new Map<number, Pending>();
  readonly #slots = new GuardSlots(guardLimits.virtualRouters);
  readonly #gone: Promise<void>;
  #state: 'greeting' | 'watching' | 'leaving' | 'gone' = 'greeting';
  #unusable: KoiError | undefined;
  #sequence = 0;
  #unansweredHeartbeats = 0;
  #rest: Uint8Array = new Uint8Array(0);

  constructor(options: GuardOptions) {
    this.#options = options;
    // libuv makes the pipes close-on-exec socket pairs, so no other child can hold the end whose closing the guard awaits.
    this.#child = aboveLowDescriptors(() =>
      spawn(options.binary ?? guardBinary(), [], {
        argv0: 'koi-guard',
        detached: true,
        stdio: ['ignore', 'ignore', 'inherit', 'pipe', 'pipe'],
      }),
    );
    this.#gone = new Promise((resolve) => {
      this.#child.on('error', (error: NodeJS.ErrnoException) => {
        if (this.#child.pid !== undefined) return;
        this.#unusable = cannotStart(options.binary ?? guardBinary(), error);
        this.#fail('exited', error.message);
        resolve();
      });
      // 'close' comes after the last report is read, so that a guard's own word wins over its exit code.
      this.#child.once('close', (code, signal) => {
        this.#fail('exited', signal === null ? `the guard exited with code ${code}` : `the guard died of ${signal}`);
        resolve();
      });
    });
    // Out of descriptors, Node leaves the child without pipes and tells by the 'error' event alone.
    const [commands, reports] = this.#child.stdio?.slice(3) ?? [];
    if (!(commands instanceof Socket && reports instanceof Socket)) {
      throw new KoiError('kernel', 'cannot start the guard: no file descriptors left for its pipes');
    }
    this.#commands = commands;
    this.#reports = reports;
    // A broken pipe means a dead guard: its exit says why, and comes next.
    for (const pipe of [commands, reports]) pipe.on('error', () => this.#child.kill('SIGKILL'));
    reports.on('data', (bytes: Buffer) => this.#receive(bytes));
  }

  get pid(): number {
    return this.#child.pid ?? -1;
  }

  get alive(): boolean {
    return this.#state === 'watching';
  }

  async greet(): Promise<void> {
    const { timeoutMs, group } = this.#options;
    try {
      await this.#request({ type: 'hello', pid: process.pid, timeoutMs, group }, 'the hello');
    } catch (error) {
      this.#state = 'gone';
      this.#child.kill('SIGKILL');
      await this.#gone;
      throw this.#unusable ?? error;
    }
    this.#state = 'watching';
    // A dataplane that has nothing else to do may end: the guard then does its duty.
    for (const handle of [this.#child, this.#commands, this.#reports]) handle.unref();
  }

  put(
    vr: string,
    addresses: readonly GuardAddress[],
    adverts: readonly GuardAdvert[],
    namespace?: string,
  ): Promise<void> {
    if (!addresses.every(isWellFormed)) return refused(`registering ${vr}: an address is not of its family's length`);
    const use = this.#slots.use(vr);
    if (use === undefined)
      return refused(`${vr}: the guard holds ${guardLimits.virtualRouters} virtual routers at most`);
    const { slot } = use;
    const promise = this.#request({ type: 'put', slot, name: vr, namespace, addresses, adverts }, `registering ${vr}`);
    // A PUT that the guard refuses has changed nothing there; whatever else went wrong, it may have been stored.
    promise.then(use.stored, (error: KoiError) => (error.code === 'protocol' ? use.refused() : use.stored()));
    return promise;
  }

  drop(vr: string): Promise<void> {
    const slot = this.#slots.of(vr);
    if (slot === undefined) return Promise.resolve();
    this.#slots.release(vr);
    return this.#request({ type: 'drop', slot }, `dropping ${vr}`);
  }

  setDeadline(vr: string, monotonicNs: bigint | undefined): Promise<void> {
    const slot = this.#slots.of(vr);
    if (slot === undefined) return refused(`${vr} is not registered with the guard, so no lease can be guarded`);
    return this.#request({ type: 'deadline', slot, monotonicNs }, `the lease of ${vr}`);
  }

  heartbeat(): void {
    if (this.#state !== 'watching') return;
    if (this.#unansweredHeartbeats >= maxUnansweredHeartbeats) {
      this.#fail('unresponsive', `the guard left ${this.#unansweredHeartbeats} heartbeats unanswered`);
      return;
    }
    this.#unansweredHeartbeats++;
    this.#write({ type: 'heartbeat' });
  }

  async bye(): Promise<void> {
    if (this.#state !== 'watching') return this.#gone;
    this.#state = 'leaving';
    this.#child.ref();
    this.#write({ type: 'bye' });
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), byeTimeoutMs);
    await this.#gone;
    clearTimeout(timer);
  }

  #request(command: GuardCommand, about: string): Promise<void> {
    const promise = new Promise<void>((resolve, reject) => {
      if (this.#state !== 'watching' && this.#state !== 'greeting') {
        reject(new KoiError('internal', `${about}: the guard is gone`));
        return;
      }
      if (this.#pending.size >= maxPendingCommands) {
        reject(new KoiError('internal', `${about}: ${maxPendingCommands} commands wait for the guard already`));
        return;
      }
      const sequence = this.#nextSequence();
      const frame = encodeCommand(command, sequence);
      if (frame.length > guardLimits.frameBytes) {
        reject(
          new KoiError('protocol', `${about}: more than ${guardLimits.frameBytes} bytes of addresses and adverts`),
        );
        return;
      }
      const timeoutMs = this.#options.ackTimeoutMs ?? 1000;
      // A loop that was late itself runs its timers before it reads: the answer may be waiting, so look once more.
      const timer = setTimeout(() => setImmediate(() => this.#expire(sequence, timeoutMs)), timeoutMs);
      this.#pending.set(sequence, { command, about, timer, resolve, reject });
      this.#send(frame);
    });
    promise.catch(() => undefined);
    return promise;
  }

  #nextSequence(): number {
    this.#sequence = (this.#sequence + 1) >>> 0;
    return this.#sequence;
  }

  #write(command: GuardCommand): void {
    this.#send(encodeCommand(command, this.#nextSequence()));
  }

  #send(frame: Uint8Array): void {
    if (this.#commands.writableLength + frame.length > maxQueuedBytes) {
      this.#fail('pipe_full', `the guard has not read ${this.#commands.writableLength} bytes`);
      return;
    }
    this.#commands.write(frame);
  }

  #expire(sequence: number, timeoutMs: number): void {
    const pending = this.#pending.get(sequence);
    if (pending === undefined) return;
    this.#pending.delete(sequence);
    pending.reject(new KoiError('timeout', `${pending.about}: the guard did not answer within ${timeoutMs} ms`));
  }

  #receive(bytes: Buffer): void {
    const decoded = decodeMessages(this.#rest.length === 0 ? bytes : Buffer.concat([this.#rest, bytes]));
    if (!decoded.ok) {
      this.#fail('protocol_error', `the guard said something unreadable: ${decoded.reason}`);
      return;
    }
    this.#rest = decoded.rest;
    for (const message of decoded.messages) {
      if (message.type === 'ack') this.#settle(message.sequence, message.status);
      else this.#hear(message.report);
    }
  }

  #settle(sequence: number, status: GuardStatus): void {
    this.#unansweredHeartbeats = 0;
    const pending = this.#pending.get(sequence);
    if (pending === undefined) return;
    this.#pending.delete(sequence);
    clearTimeout(pending.timer);
    if (status === 'ok') pending.resolve();
    else pending.reject(refusal(pending.about, status));
  }

  #hear(report: GuardReport): void {
    if (report.event === 'unusable') {
      this.#unusable = cannotGuard(report.errno, report.msg);
      return;
    }
    this.#options.onReport(report);
  }

  /** Ends the session once. The guard is killed before its pipe closes, since it would take the closing for our death. */
  #fail(reason: GuardExit['reason'], message: string): void {
    const before = this.#state;
    this.#state = 'gone';
    if (before !== 'gone') this.#child.kill('SIGKILL');
    for (const { about, timer, reject } of this.#pending.values()) {
      clearTimeout(timer);
      reject(this.#unusable ?? new KoiError('internal', `${about}: ${message}`));
    }
    this.#pending.clear();
    if (before !== 'watching') return;
    void this.#gone.then(() => this.#options.onExit({ reason, message }));
  }
}

/**
 * Runs `open` with the low descriptors occupied. A dying process closes its highest descriptor first (close_files() and the
 * order of task_work_run(), measured on 6.18), and each packet socket takes an RCU wait of some 12 ms: from below four of
 * them the guard would hear of a SIGKILL after 52 ms, from above after 0.5.
 */
function aboveLowDescriptors<T>(open: () => T): T {
  const fillers: number[] = [];
  try {
    while ((fillers.at(-1) ?? 0) < lowDescriptors) fillers.push(openSync('/dev/null', 'r'));
  } catch {
    // Too few descriptors are allowed: the guard works from a low one too, only later.
    for (const fd of fillers.splice(0)) closeSync(fd);
  }
  try {
    return open();
  } finally {
    for (const fd of fillers) closeSync(fd);
  }
}

function isWellFormed(address: GuardAddress): boolean {
  return address.bytes.length === (address.family === 4 ? 4 : 16);
}

function refused(message: string): Promise<void> {
  const promise = Promise.reject<void>(new KoiError('protocol', message));
  promise.catch(() => undefined);
  return promise;
}

function refusal(about: string, status: GuardStatus): KoiError {
  const remedies: Partial<Record<GuardStatus, string>> = {
    wrong_version: 'dataplane and guard are of different releases: run npm run install (or reinstall the package)',
    too_many_addresses: `one node guards ${guardLimits.addresses} addresses at most`,
    namespace_unusable: 'check that the namespace exists, and that CAP_SYS_ADMIN is among the capabilities of koi',
    too_many_adverts: `one node guards ${guardLimits.adverts} adverts at most`,
  };
  const remedy = remedies[status];
  return new KoiError('protocol', `${about}: the guard refuses: ${status}`, remedy === undefined ? {} : { remedy });
}

function cannotStart(binary: string, error: NodeJS.ErrnoException): KoiError {
  const remedy = error.code === 'ENOENT' ? 'build it with npm run install' : 'check that it is executable';
  return new KoiError('kernel', `cannot start the guard ${binary}: ${error.message}`, { remedy, cause: error });
}

function cannotGuard(errno: number, message: string): KoiError {
  const denied = errno === 1 || errno === 13;
  const code: KoiErrorCode = denied ? 'privilege' : 'kernel';
  const remedy = denied ? { remedy: 'the dataplane needs CAP_NET_RAW and CAP_NET_ADMIN, and passes them on' } : {};
  return new KoiError(code, message, remedy);
}
