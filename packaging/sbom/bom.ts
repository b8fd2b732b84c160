import { goLicenses } from './licenses.js';

/** The parts of CycloneDX 1.5 that are written here: https://cyclonedx.org/docs/1.5/json/ */
export interface Component {
  readonly type: string;
  readonly 'bom-ref': string;
  readonly name: string;
  readonly version: string;
  readonly purl?: string;
  readonly licenses?: readonly ({ readonly license: { readonly id?: string } } | { readonly expression: string })[];
  readonly [more: string]: unknown;
}

export interface Bom {
  readonly metadata: { readonly component: Component; readonly [more: string]: unknown };
  readonly components: readonly Component[];
  readonly dependencies: readonly { readonly ref: string; readonly dependsOn?: readonly string[] }[];
  readonly [more: string]: unknown;
}

/** package-lock.json, as far as it matters here. */
export interface Lock {
  readonly packages: Readonly<
    Record<string, { readonly version?: string; readonly dev?: boolean; readonly devOptional?: boolean }>
  >;
}

/** What package-lock.json has beside what only builds and tests Koi: `NAME@VERSION`. */
export function productionPackages(lock: Lock): Set<string> {
  const kept = Object.entries(lock.packages).filter(
    ([path, { dev, devOptional }]) => path !== '' && !dev && !devOptional,
  );
  return new Set(kept.map(([path, { version }]) => `${path.slice(path.lastIndexOf('node_modules/') + 13)}@${version}`));
}

/** The license of a component as an SPDX expression, or undefined where it has none. */
export function licenseOf({ licenses }: Component): string | undefined {
  const told = licenses?.map((each) => ('expression' in each ? each.expression : each.license.id));
  return told?.length === 1 ? told[0] : undefined;
}

/** Node as the package brings it. */
export const nodeComponent = (version: string): Component => ({
  type: 'application',
  'bom-ref': `node@${version}`,
  name: 'node',
  version,
  description: 'runs Koi; what it contains is in LICENSE.node',
  purl: `pkg:generic/node@${version}`,
  cpe: `cpe:2.3:a:nodejs:node.js:${version}:*:*:*:*:*:*:*`,
  licenses: [{ license: { id: 'MIT' } }],
});

/** Koi's own compiled programs, which are of its version. */
export const ownParts = (version: string): Component[] =>
  ['koi-guard', 'koi_kernel.node'].map((name) => ({
    type: name.endsWith('.node') ? 'library' : 'application',
    'bom-ref': `${name}@${version}`,
    name,
    version,
    description: 'compiled from src/kernel/native',
    licenses: [{ license: { id: 'Apache-2.0' } }],
  }));

/**
 * The modules inside a Go program.
 *
 * @param told what `go version -m PROGRAM` printed
 * @throws Error naming a module whose license nobody has looked up
 */
export function goComponents(told: string): Component[] {
  const modules = [...told.matchAll(/^\t(mod|dep)\t(\S+)\t(\S+)/gm)];
  if (modules.length === 0) throw new Error('go version -m names no modules');
  const standard = /: go(\S+)/.exec(told)?.[1];
  return [
    ...modules.map(([, kind, name = '', version = '']): Component => {
      const license = goLicenses[name];
      if (license === undefined) throw new Error(`the license of ${name} is not in packaging/sbom/licenses.ts`);
      const licenses = license.includes(' ') ? [{ expression: license }] : [{ license: { id: license } }];
      const type = kind === 'mod' ? 'application' : 'library';
      return { type, 'bom-ref': `${name}@${version}`, name, version, purl: `pkg:golang/${name}@${version}`, licenses };
    }),
    ...(standard === undefined
      ? []
      : [
          {
            type: 'library',
            'bom-ref': `stdlib@${standard}`,
            name: 'stdlib',
            version: standard,
            purl: `pkg:golang/stdlib@${standard}`,
            licenses: [{ license: { id: 'BSD-3-Clause' } }],
          },
        ]),
  ];
}

const byRef = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

/**
 * What is shipped as `version`, the same for the same input: npm's list without what only builds and tests Koi, and the
 * parts that npm knows nothing of. `npm sbom --omit dev` would do the first, but npm 11 leaves `yaml` out with it.
 *
 * @throws Error naming a package of the lock that npm's list lacks
 */
export function shippedBom(listed: Bom, lock: Lock, parts: readonly Component[], version: string): Bom {
  const kept = productionPackages(lock);
  const components = listed.components.filter((each) => kept.has(each['bom-ref']));
  const found = new Set(components.map((each) => each['bom-ref']));
  const missing = [...kept].filter((each) => !found.has(each));
  if (missing.length > 0) throw new Error(`npm sbom does not list ${missing.join(', ')}`);

  const main: Component = {
    ...listed.metadata.component,
    type: 'application',
    'bom-ref': `koi@${version}`,
    name: 'koi',
    version,
    purl: `pkg:generic/koi@${version}`,
  };
  const formerMain = listed.metadata.component['bom-ref'];
  const [application] = parts.filter(({ type, purl }) => type === 'application' && purl?.startsWith('pkg:golang/'));
  const inGo = parts.filter(({ type, purl }) => type === 'library' && purl?.startsWith('pkg:golang/'));
  const dependencies = listed.dependencies
    .filter(({ ref }) => ref === formerMain || kept.has(ref))
    .map(({ ref, dependsOn = [] }) => {
      const own = ref === formerMain ? parts.filter((part) => !inGo.includes(part)).map((part) => part['bom-ref']) : [];
      return {
        ref: ref === formerMain ? main['bom-ref'] : ref,
        dependsOn: [...dependsOn.filter((each) => kept.has(each)), ...own].sort(byRef),
      };
    });
  if (application !== undefined) {
    dependencies.push({ ref: application['bom-ref'], dependsOn: inGo.map((each) => each['bom-ref']).sort(byRef) });
  }
  return {
    $schema: 'http://cyclonedx.org/schema/bom-1.5.schema.json',
    bomFormat: 'CycloneDX',
    specVersion: '1.5',
    version: 1,
    metadata: { lifecycles: [{ phase: 'build' }], component: main },
    components: [...components, ...parts].sort((a, b) => byRef(a['bom-ref'], b['bom-ref'])),
    dependencies: dependencies.sort((a, b) => byRef(a.ref, b.ref)),
  };
}
