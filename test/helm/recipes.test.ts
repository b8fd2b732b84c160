import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { z } from 'zod';
import { namedFiles, namedPrograms } from '../../src/config/file-checks.js';
import { parseConfig } from '../../src/config/load.js';
import { yamlBlock } from '../docs/blocks.js';
import { chartFolder, container, dataOf, find, findHelm, helm, koi, pods, render, type Values } from './chart.js';

/* What docs/kubernetes.md tells people to write down is rendered, checked, and names no file that its pods do not see. */

const page = fileURLToPath(new URL('../../docs/kubernetes.md', import.meta.url));
const image = fileURLToPath(new URL('../../packaging/image', import.meta.url));

const block = (name: string): string => yamlBlock(page, name);

/** The programs that the Dockerfile puts into the image. */
const programsOfImage = (readFileSync(join(image, 'Dockerfile'), 'utf8').match(/packaging\/image\/\S+/g) ?? []).map(
  (file) => `/usr/local/bin/${basename(file)}`,
);
const environment = { KOI_NODE: 'node-a', KOI_HOST_IP: '10.0.0.1' };
const folder = mkdtempSync(join(tmpdir(), 'koi-recipes-'));
afterAll(() => rmSync(folder, { recursive: true }));

/** nats-server is in the image, and has to be in PATH here. */
const natsServer =
  process.env.KOI_NATS_SERVER ?? spawnSync('scripts/nats-server-path', { encoding: 'utf8' }).stdout.trim();

/** What `koi check` says against a configuration whose secrets and programs lie in the folder, but of this machine. */
function check(text: string, secretsIn: string): string[] {
  const parsed = parseConfig(text, { environment });
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.errors));
  const secrets = join(folder, 'secrets');
  mkdirSync(secrets, { recursive: true });
  for (const { file } of namedFiles(parsed.document)) {
    writeFileSync(join(secrets, basename(file)), 'a secret that is long enough for a key', { mode: 0o440 });
  }
  const here = text.replaceAll(`${secretsIn}/`, `${secrets}/`).replaceAll('/usr/local/bin/', `${image}/`);
  const file = join(folder, 'koi.yaml');
  writeFileSync(file, here);
  const { said } = koi(['check', '-c', file], { ...environment, PATH: `${dirname(natsServer)}:${process.env.PATH}` });
  const ofThisMachine = /no address of this machine|no interface with the name|in no network of|^ +→/;
  return said.split('\n').filter((line) => line !== '' && !ofThisMachine.test(line));
}
const nothing = [expect.stringMatching(/: ok \(cluster [\w-]+, node [\w-]+, 1 virtual router/)];

const helmPath = findHelm() ?? '';

describe.skipIf(helmPath === '').each(['values.yaml', 'control-plane.yaml'])(
  'the chart with %s of docs/kubernetes.md',
  { timeout: 120_000 },
  (name) => {
    const values = (): Values => parse(block(name)) as Values;
    const configs = () => Object.entries(dataOf(find(render(helmPath, values()), 'ConfigMap', 'edge')));

    it('passes helm lint and is rendered', () => {
      const { ok, said } = helm(helmPath, ['lint', '--strict', chartFolder], values());
      expect(ok, said).toBe(true);
    });

    it('names no file that its pods do not see, and no program that the image does not have', () => {
      for (const [pod, spec] of pods(render(helmPath, values())).filter(
        ([title]) => !['edge-log', 'edge-rollout'].includes(title),
      )) {
        const mounts = spec.containers.flatMap(({ volumeMounts }) => volumeMounts.map(({ mountPath }) => mountPath));
        for (const [file, text] of configs()) {
          const parsed = parseConfig(text, { environment });
          if (!parsed.ok) throw new Error(JSON.stringify(parsed.errors));
          const unseen = namedFiles(parsed.document).filter(
            (named) => !mounts.some((mount) => named.file.startsWith(`${mount}/`)),
          );
          expect([pod, file, unseen]).toEqual([pod, file, []]);
          expect(programsOfImage).toEqual(
            expect.arrayContaining(namedPrograms(parsed.document).map(({ program }) => program)),
          );
        }
      }
    });

    it('has a configuration of which koi check finds nothing to say', () => {
      for (const [, text] of configs()) {
        expect(check(text, '/etc/koi/secrets')).toEqual(nothing);
      }
    });
  },
);

describe("the static pod's configuration in docs/kubernetes.md", () => {
  it.skipIf(natsServer === '')('is one of which koi check finds nothing to say', () => {
    expect(check(block('/etc/koi/koi.yaml'), '/etc/koi')).toEqual(nothing);
  });

  it('has a manifest whose containers see every file that it names', () => {
    const file = join(folder, 'etc/koi/koi.yaml');
    mkdirSync(join(folder, 'etc/koi'), { recursive: true });
    writeFileSync(file, block('/etc/koi/koi.yaml').replaceAll('/etc/koi/', `${folder}/etc/koi/`));
    const { ok, said } = koi(['manifest', '-c', file, '--image', 'koi:1', '--json'], environment);
    expect(ok, said).toBe(true);
    const { spec } = z
      .object({ spec: z.looseObject({ containers: z.array(container.partial({ resources: true })) }) })
      .parse(JSON.parse(said));
    expect(spec.containers.map(({ name }) => name)).toEqual(['dataplane', 'agent', 'log-server']);
    for (const { name, volumeMounts } of spec.containers) {
      const seen = volumeMounts.map(({ mountPath }) => mountPath);
      expect([name, seen]).toEqual([name, expect.arrayContaining([`${folder}/etc/koi`, '/var/lib/koi'])]);
    }
  });
});
