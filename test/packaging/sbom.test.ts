import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import {
  type Bom,
  type Component,
  goComponents,
  type Lock,
  licenseOf,
  productionPackages,
  shippedBom,
} from '../../packaging/sbom/bom.js';
import { isCompatible } from '../../packaging/sbom/licenses.js';
import { listShipped } from '../../packaging/sbom/list.js';

const lock = JSON.parse(readFileSync('package-lock.json', 'utf8')) as Lock;
const goSaid = [
  '/usr/lib/koi/bin/nats-server: go1.26.8',
  '\tpath\tgithub.com/nats-io/nats-server/v2',
  '\tmod\tgithub.com/nats-io/nats-server/v2\tv2.15.2\th1:yLsgt2kslgymvxvjFq1WGWck5hkat2YYfbXvQ145tzU=',
  '\tdep\tgithub.com/klauspost/compress\tv1.20.3\th1:zWNoFqq/lSuYQRim3dUXlXeA0IqwuZGicdG5ZTfY5j4=',
  '\tbuild\tGOOS=linux',
].join('\n');

describe('what is shipped', () => {
  const text = listShipped('.', '1.2.3', goComponents(goSaid));
  const bom = JSON.parse(text) as Bom;
  const named = (name: string): Component | undefined => bom.components.find((each) => each.name === name);

  it('is listed completely: every production package, Node, nats-server with its modules, and our own compiled parts', () => {
    const refs = bom.components.map((each) => each['bom-ref']);
    for (const each of productionPackages(lock)) expect(refs).toContain(each);
    const direct = Object.keys(
      (JSON.parse(readFileSync('package.json', 'utf8')) as { dependencies: object }).dependencies,
    );
    for (const name of direct) expect(named(name)?.version, name).toBeDefined();
    for (const name of ['node', 'koi-guard', 'koi_kernel.node', 'github.com/nats-io/nats-server/v2', 'stdlib']) {
      expect(named(name), name).toBeDefined();
    }
    for (const name of ['vitest', 'typescript', '@biomejs/biome']) expect(named(name), name).toBeUndefined();
  });

  it('refers to what it lists, each once, and says the same again', () => {
    const refs = bom.components.map((each) => each['bom-ref']);
    expect(new Set(refs).size).toBe(refs.length);
    expect(bom.metadata.component['bom-ref']).toBe('koi@1.2.3');
    const known = new Set([...refs, 'koi@1.2.3']);
    for (const { ref, dependsOn = [] } of bom.dependencies) {
      for (const each of [ref, ...dependsOn]) expect(known).toContain(each);
    }
    expect(listShipped('.', '1.2.3', goComponents(goSaid))).toBe(text);
    expect(text).not.toMatch(/serialNumber|timestamp/);
  });

  it('is under licenses that may go out together with an Apache-2.0 program', () => {
    const refused = bom.components.filter((each) => !isCompatible(licenseOf(each) ?? ''));
    expect(refused.map((each) => `${each['bom-ref']}: ${licenseOf(each)}`)).toEqual([]);
  });

  it('is not taken as listed where npm leaves a package out', () => {
    const without = { ...bom, components: bom.components.filter(({ name }) => name !== 'yaml') };
    expect(() => shippedBom(without, lock, [], '1.2.3')).toThrow(/npm sbom does not list yaml@/);
  });

  it('holds no module of nats-server whose license nobody has looked up', () => {
    expect(() => goComponents(goSaid.replace('klauspost/compress', 'somebody/else'))).toThrow(/somebody\/else/);
    expect(() => goComponents('')).toThrow(/names no modules/);
  });
});

it.each([
  ['MIT', true],
  ['(Apache-2.0 AND BSD-3-Clause)', true],
  ['(MIT OR GPL-3.0-only)', true],
  ['(MIT AND GPL-3.0-only)', false],
  ['GPL-2.0-only', false],
  ['AGPL-3.0-only OR SSPL-1.0', false],
  ['UNLICENSED', false],
  ['MIT AND (ISC OR GPL-3.0-only)', false],
  ['', false],
])('%s may be shipped: %s', (expression, expected) => {
  expect(isCompatible(expression)).toBe(expected);
});
