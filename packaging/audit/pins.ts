/** package.json and package-lock.json, as far as it matters here. */
export interface Manifest {
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly devDependencies?: Readonly<Record<string, string>>;
  readonly overrides?: Readonly<Record<string, string>>;
}
export interface LockedPackages {
  readonly packages: Readonly<
    Record<string, { readonly version?: string; readonly integrity?: string; readonly link?: boolean }>
  >;
}

/** What is not pinned: a range instead of a version, or an entry of the lock without its sum. */
export function loosePins(manifest: Manifest, lock: LockedPackages): string[] {
  const asked = { ...manifest.dependencies, ...manifest.devDependencies, ...manifest.overrides };
  const ranges = Object.entries(asked).filter(([, version]) => !/^\d+\.\d+\.\d+(-[\w.]+)?$/.test(version));
  const unsummed = Object.entries(lock.packages).filter(
    ([path, { integrity, link }]) => path !== '' && link !== true && !integrity?.startsWith('sha512-'),
  );
  return [
    ...ranges.map(([name, version]) => `package.json: ${name} is ${version}, not one version`),
    ...unsummed.map(([path]) => `package-lock.json: ${path} has no sum`),
  ];
}
