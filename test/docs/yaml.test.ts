import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { valuesSchema } from '../../helm/builder/values.js';
import { parseConfig } from '../../src/config/load.js';
import { configSchema, virtualRouterSchema } from '../../src/config/schema.js';

/*
 * What the documents tell people to write down passes koi check. A block with `cluster` is a whole configuration; any
 * other is a part, which is put where its keys belong in the smallest configuration that there is; what has keys of the
 * chart is the chart's values, whose `config` is such a part.
 */
const pages = [
  'README.md',
  'SECURITY.md',
  'CONTRIBUTING.md',
  ...readdirSync('docs', { recursive: true, encoding: 'utf8' }).map((name) => join('docs', name)),
].filter((name) => name.endsWith('.md'));

interface Block {
  readonly place: string;
  readonly text: string;
}

const blocks: readonly Block[] = pages.flatMap((page) => {
  const text = readFileSync(page, 'utf8');
  return [...text.matchAll(/^```ya?ml\n([\s\S]*?)^```/gm)].map((found) => ({
    place: `${page}:${text.slice(0, found.index).split('\n').length}`,
    text: found[1] ?? '',
  }));
});

type Entries = Record<string, unknown>;

const router: Entries = { name: 'gw', interface: 'eth1', id: 51, addresses: ['10.77.0.254/24'] };
const least: Entries = {
  cluster: 'edge',
  log: { servers: ['nats://10.99.0.9:4222'] },
  lanKeyFile: '/etc/koi/lan.key',
  virtualRouters: [router],
};
const keysOf = (schema: { readonly shape: object }): readonly string[] => Object.keys(schema.shape);
const only = (part: Entries, keys: readonly string[]): boolean => Object.keys(part).every((key) => keys.includes(key));

/** The configuration that a block is, or is a part of. */
function whole(block: string): string {
  const part = parse(block) as Entries;
  if (part.cluster !== undefined) return block;
  if (only(part, keysOf(configSchema))) return JSON.stringify({ ...least, ...part });
  if (only(part, keysOf(virtualRouterSchema))) {
    return JSON.stringify({ ...least, virtualRouters: [{ ...router, ...part }] });
  }
  if (only(part, keysOf(valuesSchema))) {
    const config = (part.config ?? {}) as Entries;
    const nodes = Object.values((part.nodes ?? {}) as Record<string, Entries>);
    return JSON.stringify({ ...least, ...config, virtualRouters: eachNode(config.virtualRouters, nodes) });
  }
  const known = [...keysOf(configSchema), ...keysOf(virtualRouterSchema), ...keysOf(valuesSchema)];
  throw new Error(
    `no place for ${Object.keys(part)
      .filter((key) => !known.includes(key))
      .join(', ')}`,
  );
}

/** The virtual routers as the values have them, and as each node has them, under other names, ids and addresses. */
function eachNode(routers: unknown, nodes: readonly Entries[]): Entries[] {
  const first = Array.isArray(routers) ? (routers as Entries[]) : [router];
  const others = nodes.flatMap(({ virtualRouters: _, ...said }, at) =>
    first.map((each, index) => ({
      ...each,
      ...said,
      name: `n${at}-${index}`,
      id: 100 + 10 * at + index,
      addresses: [`10.200.${at}.${index + 1}`],
    })),
  );
  return [...first, ...others];
}

it('the documents have some', () => {
  expect(blocks.length).toBeGreaterThan(5);
});

describe('a block of a document', () => {
  it.each(blocks)('$place passes koi check', ({ text }) => {
    const checked = parseConfig(whole(text), { environment: {}, hostname: 'r1' });
    expect(checked.ok ? [] : checked.errors).toEqual([]);
  });
});

describe('what is wrong is found', () => {
  it.each([
    ['cluster: edge\nvirtualRouters: []\n', 'virtualRouters'],
    ['track:\n  - {name: a, interfaec: eth0}\n', 'track[0].interfaec'],
    ['preempt: {delay: 5}\n', 'virtualRouters[0].preempt.delay'],
    ['image: {repository: r}\nconfig: {onLogLoss: never}\n', 'onLogLoss'],
  ])('%j', (text, path) => {
    const checked = parseConfig(whole(text), { environment: {}, hostname: 'r1' });
    expect(checked.ok ? [] : checked.errors.map((error) => error.path)).toContain(path);
  });

  it('a key that belongs nowhere', () => {
    expect(() => whole('cluter: edge\n')).toThrow('no place for cluter');
  });
});
