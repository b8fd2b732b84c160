import { didYouMean } from './did-you-mean.js';
import { formatDuration, parseDurationMs } from './duration.js';
import { checkLog } from './log-checks.js';
import { type ConfigPath, isMap } from './path.js';
import { checkAddresses, checkIdentifiers, checkPlacement } from './placement-checks.js';
import { checkProtocol } from './protocol-checks.js';
import { checkSelector, type Entry, entries, type Indexed, type Report } from './raw-entries.js';
import type { PlacedProblem } from './schema-problems.js';

/*
 * Rules that join several fields. They read the file as it is, not as the schema passed it, so that one wrong field
 * does not hide a second problem; what has the wrong shape is skipped here, since the schema already names it.
 */

export function crossCheck(root: unknown): { errors: PlacedProblem[]; warnings: PlacedProblem[] } {
  const errors: PlacedProblem[] = [];
  const warnings: PlacedProblem[] = [];
  if (!isMap(root)) return { errors, warnings };
  const fail: Report = (path, message, remedy) => errors.push({ path, message, remedy });
  const warn: Report = (path, message, remedy) => warnings.push({ path, message, remedy });

  const routers = entries(root, 'virtualRouters');
  checkLog(root, fail, warn);
  checkLease(root, routers, fail, warn);
  checkTrack(root, routers, fail);
  checkTrackedPriority(root, routers, warn);
  checkSyncGroups(root, routers, fail, warn);
  for (const [index, router] of routers) checkHooks(router, ['virtualRouters', index], fail, warn);
  checkUnique(routers, 'virtualRouters', fail);
  checkIdentifiers(routers, fail);
  checkAddresses(routers, fail);
  for (const [index, router] of routers) checkPlacement(router, ['virtualRouters', index], fail);
  for (const [index, router] of routers) checkProtocol(router, ['virtualRouters', index], fail, warn);
  for (const [index, router] of routers) checkSelector(router.interface, ['virtualRouters', index, 'interface'], fail);
  if (root.lanKeyFile === undefined) {
    warn(
      ['lanKeyFile'],
      "there is no key: koi's own datagrams on the LAN are not authenticated",
      'make one with `openssl rand -hex 32`, the same on every node, and name its file in lanKeyFile',
    );
  }
  return { errors, warnings };
}

/**
 * The kernel counts the lifetime of an address in whole seconds, and looks up to 1.25 s late: what is held by a lease that
 * ends sooner cannot be held so that it ends with the lease.
 */
const addressEndMs = 2250;

function checkLease(root: Entry, routers: readonly Indexed[], fail: Report, warn: Report): void {
  const lease = isMap(root.lease) ? root.lease : {};
  const ttlMs = durationMs(lease.ttl, 4_000);
  const renewMs = durationMs(lease.renew, 1_000);
  if (ttlMs === undefined || renewMs === undefined) return;
  if (ttlMs <= renewMs) {
    fail(
      ['lease', lease.ttl === undefined ? 'renew' : 'ttl'],
      `the lease ends (ttl ${formatDuration(ttlMs)}) before it is renewed (renew ${formatDuration(renewMs)})`,
      'make ttl at least three times renew',
    );
  } else if (ttlMs < 3 * renewMs) {
    warn(['lease', 'ttl'], 'one late renewal ends the lease', 'make ttl at least three times renew');
  }
  const strict = [root, ...routers.map(([, router]) => router)].some((entry) => entry.arbitration === 'strict');
  if (strict && ttlMs > renewMs && ttlMs < renewMs + addressEndMs) {
    fail(
      ['lease', lease.ttl === undefined ? 'renew' : 'ttl'],
      `with strict, a lease of ${formatDuration(ttlMs)} is too short: the kernel needs ${formatDuration(addressEndMs)} to end an address by itself`,
      'make ttl at least three times renew, and 4s or more',
    );
  } else if (strict && ttlMs < 12_000) {
    warn(
      ['lease', 'ttl'],
      'with strict, a ttl under 12s does not outlive an election inside NATS',
      'make it 12s or more',
    );
  }
}

/** What else a track may say, by what it watches; `name`, `weight` and `reverse` belong to all. */
const trackKeys: Readonly<Record<string, readonly string[]>> = {
  interface: [],
  script: ['interval', 'timeout', 'fall', 'rise', 'user'],
  file: ['interval'],
  process: ['interval', 'fall', 'rise', 'quorum'],
  route: ['interval', 'fall', 'rise', 'table'],
};

function checkTrack(root: Entry, routers: readonly Indexed[], fail: Report): void {
  const tracks = entries(root, 'track');
  checkUnique(tracks, 'track', fail);
  const optional = [...new Set(Object.values(trackKeys).flat())];
  for (const [index, track] of tracks) {
    const path: ConfigPath = ['track', index];
    const kinds = Object.keys(trackKeys).filter((kind) => track[kind] !== undefined);
    const kind = kinds[0];
    if (kind === undefined || kinds.length > 1) {
      fail(
        path,
        kinds.length === 0 ? 'says nothing about what to watch' : `watches ${kinds.join(' and ')} at once`,
        'needs exactly one of interface, script, file, process and route',
      );
    } else {
      for (const key of optional.filter((name) => track[name] !== undefined)) {
        if (trackKeys[kind]?.includes(key) === true) continue;
        fail([...path, key], `${key} does not belong to a track of a ${kind}`, 'remove it');
      }
    }
    checkSelector(track.interface, [...path, 'interface'], fail);
    checkProgram(track.script, [...path, 'script'], fail);
    const intervalMs = durationMs(track.interval, 2_000);
    const timeoutMs = durationMs(track.timeout, 1_000);
    if (track.script !== undefined && intervalMs !== undefined && timeoutMs !== undefined && timeoutMs > intervalMs) {
      fail([...path, 'timeout'], 'is longer than interval', 'a script must end before it runs again');
    }
  }
  const names = tracks.flatMap(([, track]) => (typeof track.name === 'string' ? [track.name] : []));
  for (const [index, router] of routers) {
    if (!Array.isArray(router.track)) continue;
    router.track.forEach((name: unknown, at) => {
      if (typeof name !== 'string' || names.includes(name)) return;
      const meant = didYouMean(name, names);
      fail(
        ['virtualRouters', index, 'track', at],
        `there is no '${name}' in track`,
        meant === undefined
          ? `track has ${names.length === 0 ? 'no entries' : names.join(', ')}`
          : `did you mean '${meant}'?`,
      );
    });
  }
}

/** VRRP's backups look at a master's priority only where they may preempt; CARP's obey a demotion in any case. */
function checkTrackedPriority(root: Entry, routers: readonly Indexed[], warn: Report): void {
  const weighted = entries(root, 'track').flatMap(([, { name, weight }]) => (weight === 0 ? [] : [name]));
  for (const [index, { protocol, preempt, track }] of routers) {
    if (protocol === 'carp' || !isMap(preempt) || preempt.enabled !== false || !Array.isArray(track)) continue;
    const moving = track.filter((name: unknown) => weighted.includes(name));
    if (moving.length === 0) continue;
    warn(
      ['virtualRouters', index, 'preempt', 'enabled'],
      `with preempt off nobody takes over from a master whose priority ${moving.join(' and ')} lowered`,
      'leave preempt on, with the same priority on every node where the address shall stay after a failure; or give the track weight 0, with which a node that fails it serves in no case',
    );
  }
}

/** A search path is somebody else's to change. */
function checkProgram(command: unknown, path: ConfigPath, fail: Report): void {
  const [program] = Array.isArray(command) ? (command as unknown[]) : [];
  if (typeof program !== 'string' || program.startsWith('/')) return;
  fail(
    [...path, 0],
    `'${program}' is not an absolute path`,
    `write the program with its whole path: command -v ${program}`,
  );
}

const hookNames = ['preAttach', 'postMaster', 'preRelease', 'postRelease'] as const;

function checkHooks(router: Entry, path: ConfigPath, fail: Report, warn: Report): void {
  const { hooks } = router;
  if (!isMap(hooks)) return;
  for (const name of hookNames) checkProgram(hooks[name], [...path, 'hooks', name], fail);
  const timeoutMs = durationMs(hooks.timeout, 5_000);
  const intervalMs = router.protocol === 'carp' ? undefined : durationMs(router.advertInterval, 1_000);
  if (hooks.preAttach === undefined || timeoutMs === undefined || intervalMs === undefined) return;
  if (timeoutMs < 3 * intervalMs) return;
  warn(
    [...path, 'hooks', 'preAttach'],
    `it may run for ${formatDuration(timeoutMs)}, and nothing is advertised meanwhile: after three intervals another node takes over`,
    `give hooks a timeout under ${formatDuration(3 * intervalMs)}`,
  );
}

function checkSyncGroups(root: Entry, routers: readonly Indexed[], fail: Report, warn: Report): void {
  const groups = new Map<string, Indexed[]>();
  for (const entry of routers) {
    const { syncGroup } = entry[1];
    if (typeof syncGroup === 'string') groups.set(syncGroup, [...(groups.get(syncGroup) ?? []), entry]);
  }
  for (const [name, members] of groups) {
    const [first, ...others] = members;
    if (first === undefined) continue;
    if (others.length === 0) {
      const remedy = 'name the group in its other members too, or remove it';
      warn(['virtualRouters', first[0], 'syncGroup'], `it is alone in the group '${name}'`, remedy);
    }
    const arbitrationOf = (entry: Entry): unknown => entry.arbitration ?? root.arbitration ?? 'log';
    for (const [index, router] of others) {
      if (arbitrationOf(router) === arbitrationOf(first[1])) continue;
      fail(
        ['virtualRouters', index, 'arbitration'],
        `the members of the group '${name}' differ in arbitration`,
        'they move together, so one rule has to decide for all',
      );
    }
  }
}

function checkUnique(list: readonly Indexed[], key: string, fail: Report): void {
  const seen = new Map<string, number>();
  for (const [index, { name }] of list) {
    if (typeof name !== 'string') continue;
    const first = seen.get(name);
    if (first === undefined) seen.set(name, index);
    else fail([key, index, 'name'], `the name '${name}' is already used by ${key}[${first}]`, 'give each its own name');
  }
}

function durationMs(value: unknown, defaultMs: number): number | undefined {
  if (value === undefined) return defaultMs;
  return typeof value === 'string' ? parseDurationMs(value) : undefined;
}
