import { describe, expect, it } from 'vitest';
import type { KoiConfig } from './config.js';
import { describeDiff, diffConfig, isSame } from './diff.js';
import { parseConfig } from './load.js';

const vr = (name: string, id: number, rest = ''): string =>
  `{name: ${name}, interface: eth1, id: ${id}, addresses: [10.77.0.${id}/24]${rest}}`;

function config(routers: readonly string[], top = ''): KoiConfig {
  const text = `cluster: edge\nnode: r1\nlanKeyFile: /k\nlog: {servers: [nats://n:4222]}\n${top}\nvirtualRouters: [${routers.join(', ')}]`;
  const parsed = parseConfig(text, { environment: {} });
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.errors));
  return parsed.config;
}

describe('two configurations', () => {
  it('are the same whatever the order and the spelling', () => {
    const a = config([vr('a', 1), vr('b', 2)]);
    const b = config([vr('b', 2, ', priority: 100'), vr('a', 1, ', advertInterval: 1000ms')]);
    expect(isSame(diffConfig(a, b))).toBe(true);
    expect(describeDiff(diffConfig(a, b))).toEqual([]);
  });

  it('differ in virtual routers that come, go and change', () => {
    const before = config([vr('stays', 1), vr('goes', 2), vr('tuned', 3), vr('moved', 4)]);
    const after = config([vr('stays', 1), vr('tuned', 3, ', priority: 150'), vr('moved', 5), vr('new', 6)]);
    const diff = diffConfig(before, after);
    expect(diff.routers.map(({ kind, name }) => `${kind} ${name}`)).toEqual([
      'removed goes',
      'changed tuned',
      'changed moved',
      'added new',
    ]);
    expect(describeDiff(diff)).toEqual([
      'goes: removed',
      'tuned: priority 100 → 150',
      'moved: id 4 → 5, addresses [10.77.0.4/24] → [10.77.0.5/24]; it is released and begins anew',
      'new: added',
    ]);
  });

  it.each([
    [', priority: 5', false],
    [', advertInterval: 20ms', false],
    [', preempt: {enabled: false}', false],
    [', startDelay: 1m', false],
    [', onLogLoss: hold', false],
    [', arbitration: wire', false],
    [', accept: false', false],
    [', routes: [{to: 192.0.2.0/24}]', true],
    [', unicast: {peers: [10.77.0.2]}', true],
    [', namespace: blue', true],
    [', interface: eth2', true],
    [', id: 9', true],
  ])('%s: restarts the virtual router: %s', (rest, restarts) => {
    const merged = { ...config([vr('a', 1)]).virtualRouters[0] };
    const text = vr('a', 1).replace(/, (interface|id): \w+/g, (all, key: string) =>
      rest.includes(` ${key}:`) ? '' : all,
    );
    const changed = config([text.replace(/}$/, `${rest}}`)]);
    const [change] = diffConfig({ ...changed, virtualRouters: [merged as never] }, changed).routers;
    expect(change).toMatchObject({ kind: 'changed', restarts });
  });

  it('let addresses change, but not their families', () => {
    const of = (addresses: string) => config([`{name: a, interface: eth1, id: 1, addresses: [${addresses}]}`]);
    const restarts = (from: string, to: string) => diffConfig(of(from), of(to)).routers[0];
    expect(restarts('10.77.0.1/24', '10.77.0.2/24, 10.77.0.3/24')).toMatchObject({ restarts: false });
    expect(restarts('10.77.0.1/24', '10.77.0.1/24, "2001:db8::1/64"')).toMatchObject({ restarts: true });
    const placed = '{address: 10.77.0.2/24, interface: eth2}';
    expect(restarts('10.77.0.1/24', `10.77.0.1/24, ${placed}`)).toMatchObject({ restarts: true });
  });

  it('name what a reload cannot change, and what to restart for it', () => {
    const routers = [vr('a', 1)];
    const { fixed, node } = diffConfig(
      config(routers),
      config(routers, 'http: {listen: "127.0.0.1:1"}\nstateDir: /s\narbitrationTimeout: 80ms'),
    );
    expect(fixed).toEqual([
      { field: 'http', restart: 'agent' },
      { field: 'stateDir', restart: 'koi' },
    ]);
    const base = config(routers);
    const embedded = {
      listen: { host: '::', port: 1 },
      storeDir: '/s',
      maxStoreBytes: 1,
      binary: '/b',
      cluster: undefined,
    };
    const logs = [
      { ...base.log, replicas: 3 },
      { ...base.log, embedded },
    ];
    expect(logs.map((log) => diffConfig(base, { ...base, log }).fixed)).toEqual([
      [{ field: 'log', restart: 'agent' }],
      [{ field: 'log', restart: 'koi' }],
    ]);
    expect(node).toEqual([{ field: 'arbitrationTimeoutMs', from: '50ms', to: '80ms' }]);
  });
});
