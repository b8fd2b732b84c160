import { spawnSync } from 'node:child_process';
import { run } from './ip.js';

/** Everything in a namespace that Koi may change, by name: links, addresses, routes, rules, sysctls, packet filter. */
export type KernelState = ReadonlyMap<string, string>;

/** Reads the state of a namespace. */
export function readKernelState(netns: string): KernelState {
  const state = new Map<string, string>();
  for (const link of json(netns, ['-d', 'link'])) state.set(`link ${link.ifname}`, JSON.stringify(link));
  for (const link of json(netns, ['addr'])) {
    for (const address of (link.addr_info ?? []) as Record<string, unknown>[]) {
      state.set(`address ${address.local} on ${link.ifname}`, JSON.stringify(address));
    }
  }
  for (const link of json(netns, ['maddr'])) {
    state.set(`multicast groups of ${link.ifname}`, JSON.stringify(link.maddr));
  }
  for (const table of ['-4', '-6']) {
    state.set(`routes ${table}`, run('ip', ['-n', netns, table, 'route', 'show', 'table', 'all']));
    state.set(`rules ${table}`, run('ip', ['-n', netns, table, 'rule']));
  }
  // Some keys cannot be read (stable_secret), which grep counts as a failure.
  const keys = 'cd /proc/sys/net; grep -rs . ipv4/conf ipv6/conf ipv4/ip_forward ipv4/ip_nonlocal_bind; true';
  for (const line of run('ip', ['netns', 'exec', netns, 'sh', '-c', keys]).trim().split('\n')) {
    const at = line.indexOf(':');
    state.set(`sysctl ${line.slice(0, at)}`, line.slice(at + 1));
  }
  const filter = spawnSync('ip', ['netns', 'exec', netns, 'nft', 'list', 'ruleset'], { encoding: 'utf8' });
  if (filter.status === 0) state.set('nftables', filter.stdout);
  return state;
}

/** What differs, one sentence each; empty where the states are the same. */
export function kernelDifferences(before: KernelState, after: KernelState): string[] {
  return [...new Set([...before.keys(), ...after.keys()])].flatMap((name) => {
    const [was, is] = [before.get(name), after.get(name)];
    if (was === is) return [];
    if (was === undefined) return [`${name} is new: ${is}`];
    return is === undefined ? [`${name} is gone`] : [`${name} was ${was.trim()}, is ${is.trim()}`];
  });
}

function json(netns: string, args: readonly string[]): Record<string, unknown>[] {
  return JSON.parse(run('ip', ['-n', netns, '-j', ...args]) || '[]') as Record<string, unknown>[];
}
