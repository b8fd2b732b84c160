import { describe, expect, it } from 'vitest';
import type { KoiConfig, VirtualRouterConfig } from '../config/config.js';
import { diffConfig } from '../config/diff.js';
import { parseConfig } from '../config/load.js';
import { applyReload, type ReloadTarget } from './reload.js';

function config(...routers: readonly string[]): KoiConfig {
  const text = `cluster: edge\nnode: r1\nlog: {servers: [nats://n:4222]}\nvirtualRouters: [${routers.join(', ')}]`;
  const parsed = parseConfig(text, { environment: {} });
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.errors));
  return parsed.config;
}

const vr = (name: string, id: number, ...addresses: number[]): string =>
  `{name: ${name}, interface: eth1, id: ${id}, addresses: [${addresses.map((last) => `10.77.0.${last}/24`).join(', ')}]}`;

const shown = ({ name, addresses }: VirtualRouterConfig): string =>
  `${name} ${addresses.map(({ address }) => address.split('.')[3]).join('+')}`;

/** Writes down what it is told. */
function target(over: Partial<ReloadTarget> = {}): { readonly told: string[]; readonly target: ReloadTarget } {
  const told: string[] = [];
  return {
    told,
    target: {
      check: (router) => told.push(`check ${router.name}`),
      retire: async (names) => void told.push(`retire ${names.join('+')}`),
      adopt: () => told.push('adopt'),
      reconfigure: async (router) => void told.push(`reconfigure ${shown(router)}`),
      add: (router) => told.push(`add ${shown(router)}`),
      settle: () => told.push('settle'),
      ...over,
    },
  };
}

const apply = (before: KoiConfig, after: KoiConfig, into: ReloadTarget): Promise<string[]> =>
  applyReload({ config: after, diff: diffConfig(before, after), changes: [], digest: '' }, before, into);

describe('a reload', () => {
  it('takes away before it adds, and touches nothing that is the same', async () => {
    const { told, target: into } = target();
    const before = config(vr('same', 1, 1), vr('goes', 2, 2), vr('moves', 3, 3), vr('tuned', 4, 4));
    const after = config(vr('same', 1, 1), vr('moves', 9, 3), vr('tuned', 4, 4, 5), vr('new', 2, 2));
    expect(await apply(before, after, into)).toEqual([]);
    expect(told).toEqual([
      'check tuned',
      'check moves',
      'check new',
      'retire goes+moves',
      'adopt',
      'reconfigure tuned 4+5',
      'add moves 3',
      'add new 2',
      'settle',
    ]);
  });

  it('takes an address from one virtual router before it gives it to another', async () => {
    const { told, target: into } = target();
    await apply(config(vr('a', 1, 1), vr('b', 2, 2, 3)), config(vr('a', 1, 1, 3), vr('b', 2, 2)), into);
    expect(told.slice(2)).toEqual([
      'retire ',
      'reconfigure b 2',
      'adopt',
      'reconfigure a 1+3',
      'reconfigure b 2',
      'settle',
    ]);
  });

  it('changes nothing where a virtual router cannot be built', async () => {
    const { told, target: into } = target({
      check: () => {
        throw new Error('no password');
      },
    });
    await expect(apply(config(vr('a', 1, 1)), config(vr('a', 1, 1, 2)), into)).rejects.toThrow('no password');
    expect(told).toEqual([]);
  });

  it('goes on past what could not be brought about, and names it', async () => {
    const { target: into } = target({ reconfigure: async () => 'it keeps its addresses' });
    const warnings = await apply(
      config(vr('a', 1, 1), vr('b', 2, 2)),
      config(vr('a', 1, 1, 3), vr('b', 2, 2, 4)),
      into,
    );
    expect(warnings).toEqual(['a: it keeps its addresses', 'b: it keeps its addresses']);
  });
});
