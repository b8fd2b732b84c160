import {
  closeSync,
  constants,
  fstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { KoiError } from '../koi-error.js';
import { bootId, netnsInode } from './host-identity.js';
import { type Netns, type NetnsSelector, netnsFileName } from './netns.js';
import { type ConfKey, confPath, readSysctl, readSysctlIfPresent, writeSysctl } from './sysctl.js';

/** Where a node keeps its record. */
export const sysctlRecordPath = (stateDir: string, namespace?: NetnsSelector): string =>
  join(stateDir, namespace === undefined ? 'sysctl.json' : `sysctl.${netnsFileName(namespace)}.json`);

/** Where a setting belongs: to `all`, to `default`, or to an interface, which keeps its ifindex when it is renamed. */
export type ConfScope = 'all' | 'default' | { readonly ifindex: number; readonly name: string };

export interface ConfChange {
  readonly scope: ConfScope;
  readonly key: ConfKey;
  readonly value: number;
}

/** A setting that Koi has changed. */
export interface SavedSetting {
  readonly scope: ConfScope;
  readonly key: ConfKey;
  /** What stood there before Koi came. */
  readonly original: string;
  /** What Koi has put there. */
  readonly ours: string;
}

interface RecordFile {
  readonly version: 1;
  readonly bootId: string;
  readonly netns: number;
  readonly entries: readonly SavedSetting[];
}

export interface RestoreResult {
  readonly restored: readonly string[];
  /** Left alone, because somebody has changed them since. */
  readonly foreign: readonly string[];
  /** Their interface is gone. */
  readonly gone: readonly string[];
}

/**
 * Sets `net.ipv4.conf` values and can put them back, also after a crash of this process: what stood there before is in the
 * file before it is changed. Nobody waits for the disk: the loop of the dataplane would stand still meanwhile, and a record
 * made in another boot, or in another network namespace, does not count.
 */
export class SysctlRecord {
  readonly #path: string;
  readonly #netns: Netns | undefined;
  #entries: SavedSetting[];

  private constructor(path: string, netns: Netns | undefined, entries: SavedSetting[]) {
    this.#path = path;
    this.#netns = netns;
    this.#entries = entries;
  }

  /**
   * @param netns whose settings they are, if not our own
   * @throws KoiError `kernel` when there is a record that cannot be read.
   */
  static open(path: string, netns?: Netns): SysctlRecord {
    return new SysctlRecord(path, netns, readRecord(path, netns));
  }

  /** What is recorded as changed. */
  get entries(): readonly SavedSetting[] {
    return this.#entries;
  }

  /** Takes over what somebody else had on record, and before us: its originals are the right ones. */
  adopt(settings: readonly SavedSetting[]): void {
    if (settings.length === 0) return;
    const isNotTheirs = ({ scope, key }: SavedSetting): boolean =>
      !settings.some((setting) => setting.key === key && sameScope(setting.scope, scope));
    this.#save([...this.#entries.filter(isNotTheirs), ...settings]);
  }

  /** Changes nothing, and forgets what was there before. */
  forget(): void {
    this.#entries = [];
    rmSync(this.#path, { force: true });
  }

  /**
   * Sets all of `changes`, recording first what is there now. A value that is right already is neither recorded nor
   * written; one recorded before keeps its original, even when somebody has changed it meanwhile.
   * @throws KoiError naming the sysctl
   */
  apply(changes: readonly ConfChange[]): void {
    const writes: { path: string; value: string }[] = [];
    const entries = [...this.#entries];
    for (const { scope, key, value } of changes) {
      const path = confPath(nameOf(scope), key);
      const current = readSysctl(path, this.#netns);
      const ours = String(value);
      const at = entries.findIndex((entry) => entry.key === key && sameScope(entry.scope, scope));
      const known = entries[at];
      if (known !== undefined) entries[at] = { ...known, scope, ours };
      else if (current !== ours) entries.push({ scope, key, original: current, ours });
      if (current !== ours) writes.push({ path, value: ours });
    }
    this.#save(entries);
    for (const { path, value } of writes) writeSysctl(path, value, this.#netns);
  }

  /** The originals recorded for an interface or `all`, e.g. to say what will come back. */
  originalOf(scope: ConfScope, key: ConfKey): number | undefined {
    const entry = this.#entries.find((candidate) => candidate.key === key && sameScope(candidate.scope, scope));
    return entry === undefined ? undefined : Number(entry.original);
  }

  /**
   * Puts every original back whose current value is still ours, and forgets the record. `nameOfIndex` tells what an
   * interface is called now, undefined when it is gone.
   * @throws KoiError the first refusal, when all have been tried; those that were refused stay on record
   */
  restore(nameOfIndex: (ifindex: number) => string | undefined): RestoreResult {
    const restored: string[] = [];
    const foreign: string[] = [];
    const gone: string[] = [];
    const left: SavedSetting[] = [];
    let refusal: unknown;
    for (const entry of this.#entries) {
      const name = typeof entry.scope === 'string' ? entry.scope : nameOfIndex(entry.scope.ifindex);
      const path = confPath(name ?? nameOf(entry.scope), entry.key);
      try {
        const current = name === undefined ? undefined : readSysctlIfPresent(path, this.#netns);
        if (current === undefined) gone.push(path);
        else if (current !== entry.ours) foreign.push(path);
        else {
          writeSysctl(path, entry.original, this.#netns);
          restored.push(path);
        }
      } catch (error) {
        left.push(entry);
        refusal ??= error;
      }
    }
    if (left.length > 0) {
      this.#save(left);
      throw refusal;
    }
    this.forget();
    return { restored, foreign, gone };
  }

  /** Written beside and renamed: a crash leaves the old record or the new one. */
  #save(entries: SavedSetting[]): void {
    if (JSON.stringify(entries) === JSON.stringify(this.#entries)) return;
    const record: RecordFile = { version: 1, bootId: bootId(), netns: this.#netns?.inode ?? netnsInode(), entries };
    const temporary = `${this.#path}.tmp`;
    mkdirSync(dirname(this.#path), { recursive: true });
    // The directory is another user's, too: what lies there under this name, a symbolic link, is not written through.
    rmSync(temporary, { force: true });
    writeFileSync(temporary, JSON.stringify(record, undefined, 2), { mode: 0o600, flag: 'wx' });
    renameSync(temporary, this.#path);
    this.#entries = entries;
  }
}

/** Where it is below /proc/sys. */
export const settingPath = ({ scope, key }: SavedSetting): string => confPath(nameOf(scope), key);

const nameOf = (scope: ConfScope): string => (typeof scope === 'string' ? scope : scope.name);

function sameScope(a: ConfScope, b: ConfScope): boolean {
  if (typeof a === 'string' || typeof b === 'string') return a === b;
  return a.ifindex === b.ifindex;
}

function readRecord(path: string, netns: Netns | undefined): SavedSetting[] {
  let text: string;
  try {
    text = readOwn(path);
  } catch (cause) {
    if (cause instanceof Error && 'code' in cause && cause.code === 'ENOENT') return [];
    throw unreadable(path, cause);
  }
  if (isTorn(text)) return [];
  let record: unknown;
  try {
    record = JSON.parse(text);
  } catch (cause) {
    throw unreadable(path, cause);
  }
  if (!isRecord(record)) throw unreadable(path, new Error('not a record of version 1'));
  const alien = record.entries.find((entry) => !isSavedSetting(entry));
  if (alien !== undefined) throw unreadable(path, new Error('it names a setting that koi does not change'));
  return record.bootId === bootId() && record.netns === (netns?.inode ?? netnsInode()) ? [...record.entries] : [];
}

/** Others may make files in the directory, root acts on this one: it counts where root or this very user has made it. */
function readOwn(path: string): string {
  const fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  try {
    const stat = fstatSync(fd);
    if (!stat.isFile()) throw new Error('it is not a file');
    if (stat.uid !== 0 && stat.uid !== process.geteuid?.()) throw new Error(`it is of user ${stat.uid}, not root's`);
    return readFileSync(fd, 'utf8');
  } finally {
    closeSync(fd);
  }
}

/** The settings that Koi changes and gives back, and the largest value that the kernel knows. */
const largestKnown = new Map<unknown, number>([
  ['arp_ignore', 8],
  ['arp_announce', 2],
]);

function isSavedSetting(value: unknown): value is SavedSetting {
  if (typeof value !== 'object' || value === null) return false;
  const { scope, key, original, ours } = value as Record<string, unknown>;
  const largest = largestKnown.get(key);
  // What was there before may be a number that the kernel takes for 0.
  const isNumber = (text: unknown): text is string => typeof text === 'string' && /^-?\d{1,10}$/.test(text);
  if (largest === undefined || !isNumber(original) || !isNumber(ours)) return false;
  return Number(ours) >= 0 && Number(ours) <= largest && isRecordedScope(scope);
}

function isRecordedScope(scope: unknown): scope is ConfScope {
  if (scope === 'default') return true;
  if (typeof scope !== 'object' || scope === null) return false;
  const { ifindex, name } = scope as Record<string, unknown>;
  // Names of interfaces as the kernel takes them (dev_valid_name()), and none that stands for all.
  return (
    Number.isSafeInteger(ifindex) &&
    Number(ifindex) > 0 &&
    typeof name === 'string' &&
    /^[^\s/:\0]{1,15}$/.test(name) &&
    !['.', '..', 'all', 'default'].includes(name)
  );
}

/** As a file system leaves a new file whose machine lost power before it was on disk: empty, or zeros. Of another boot, so. */
const isTorn = (text: string): boolean => /^\0*$/.test(text);

function isRecord(value: unknown): value is RecordFile {
  if (typeof value !== 'object' || value === null) return false;
  const { version, bootId: boot, netns, entries } = value as Record<string, unknown>;
  return version === 1 && typeof boot === 'string' && typeof netns === 'number' && Array.isArray(entries);
}

function unreadable(path: string, cause: unknown): KoiError {
  return new KoiError('kernel', `the record of changed sysctls ${path} cannot be read: ${String(cause)}`, {
    remedy: 'check net.ipv4.conf by hand (arp_ignore, arp_announce, rp_filter), then delete the file',
    cause,
  });
}
