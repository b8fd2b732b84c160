import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { architectures, nodeEndOfLife, nodeVersion } from '../deb/architecture.js';
import { buildNatsServer } from '../deb/parts.js';
import { run } from '../deb/run.js';
import type { Bom } from '../sbom/bom.js';
import { concerns, nodeWeaknesses, parseAdvisory, type Shipped } from './advisories.js';
import { finished } from './finished.js';
import { type LockedPackages, loosePins, type Manifest } from './pins.js';

/*
 * npm run audit [-- --osv FOLDER …] [--node FILE]: whether what is shipped is pinned, kept by somebody, and free of weaknesses
 * that are known. Exit 1 for a finding, and where nobody could be asked about a part.
 *
 *   --osv FOLDER   advisories in the format of OSV, as files below it: a clone of github.com/golang/vulndb, of
 *                  github.com/github/advisory-database, or an unpacked all.zip of osv.dev
 *   --node FILE    vuln/core/index.json of github.com/nodejs/security-wg
 */

const root = fileURLToPath(new URL('../..', import.meta.url));
const notice = 90 * 86_400_000;
const restYears = 3;

const findings: string[] = [];
const notAsked: string[] = [];
const say = (line: string): void => void process.stdout.write(`${line}\n`);
const json = <T>(path: string): T => JSON.parse(readFileSync(join(root, path), 'utf8')) as T;

function options(words: readonly string[]): { readonly osv: string[]; readonly node: string | undefined } {
  const osv: string[] = [];
  let node: string | undefined;
  for (let at = 0; at < words.length; at += 2) {
    const [name, value] = [words[at], words[at + 1]];
    if (value === undefined || !existsSync(value) || (name !== '--osv' && name !== '--node')) {
      process.stderr.write(`audit: ${name} ${value ?? ''}: there are --osv FOLDER and --node FILE\n`);
      process.exit(2);
    }
    if (name === '--osv') osv.push(value);
    else node = value;
  }
  return { osv, node };
}

function shippedOf(bom: Bom): Shipped[] {
  return bom.components.flatMap(({ name, version, purl = '' }): Shipped[] => {
    const ecosystem = /^pkg:(npm|golang)\//.exec(purl)?.[1];
    if (ecosystem === undefined) return [];
    return [{ ecosystem: ecosystem === 'npm' ? 'npm' : 'Go', name, version: version.replace(/^v/, '') }];
  });
}

interface Published {
  readonly deprecated?: string;
  readonly 'dist.integrity'?: string;
  readonly 'dist-tags.latest'?: string;
  readonly time?: Readonly<Record<string, string>>;
}

/** What the registry says of a package: whether it is given up, when it last had a version, and its sum. */
function askRegistry({ name, version }: Shipped, sums: ReadonlySet<string>): void {
  const fields = ['deprecated', 'dist.integrity', 'dist-tags.latest', 'time'];
  const asked = spawnSync('npm', ['view', `${name}@${version}`, ...fields, '--json'], { encoding: 'utf8', cwd: root });
  if (asked.status !== 0) {
    notAsked.push(`${name}@${version}: npm view: ${asked.stderr.trim().split('\n')[0]}`);
    return;
  }
  const told = JSON.parse(asked.stdout) as Published;
  if (told.deprecated !== undefined) findings.push(`${name}@${version} is given up: ${told.deprecated}`);
  if (!sums.has(told['dist.integrity'] ?? ''))
    findings.push(`${name}@${version}: the registry has another sum than the lock`);
  const latest = told['dist-tags.latest'] ?? version;
  const lastMs = Date.parse(told.time?.[latest] ?? '');
  const years = (Date.now() - lastMs) / (365 * 86_400_000);
  const why = finished[name];
  const behind = latest === version ? 'the latest' : `the latest is ${latest}`;
  say(
    `  ${name}@${version}: ${behind}, of ${new Date(lastMs).toISOString().slice(0, 10)}${why === undefined ? '' : `; ${why}`}`,
  );
  if (years > restYears && why === undefined) {
    findings.push(
      `${name}: no version for ${years.toFixed(1)} years; look at it, and say why in packaging/audit/finished.ts`,
    );
  }
}

/** What npm's own service knows. @returns whether it answered */
function askNpm(): boolean {
  const asked = spawnSync('npm', ['audit', '--omit=dev', '--json'], { encoding: 'utf8', cwd: root });
  let told: {
    readonly vulnerabilities?: Readonly<Record<string, { readonly severity: string }>>;
    readonly message?: string;
  };
  try {
    told = JSON.parse(asked.stdout) as typeof told;
  } catch {
    told = { message: asked.stderr.trim().split('\n')[0] ?? 'no answer' };
  }
  if (told.vulnerabilities === undefined) {
    say(`npm audit: ${told.message ?? 'no answer'}`);
    return false;
  }
  const found = Object.entries(told.vulnerabilities);
  for (const [name, { severity }] of found) findings.push(`${name}: npm audit has a weakness (${severity})`);
  say(`npm audit: ${found.length} weaknesses`);
  return true;
}

const natsServer = architectures.slice(0, 1).map((each) => readFileSync(buildNatsServer(each)));
/** A Go program names each function in it, for its traces: `golang.org/x/crypto/blake2b.New256`. */
const links = (goPackage: string): boolean => natsServer.some((program) => program.includes(`${goPackage}.`));

/** @returns the ecosystems that the folder has advisories of */
function askFolder(folder: string, shipped: readonly Shipped[]): Set<string> {
  const names = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.json'));
  const ecosystems = new Set<string>();
  let read = 0;
  for (const name of names) {
    let advisory: ReturnType<typeof parseAdvisory>;
    try {
      advisory = parseAdvisory(readFileSync(join(folder, name), 'utf8'));
    } catch {
      // Something else that lies there.
      continue;
    }
    read += 1;
    for (const { package: of } of advisory.affected ?? []) if (of !== undefined) ecosystems.add(of.ecosystem);
    for (const each of shipped) {
      if (concerns(advisory, each, links))
        findings.push(`${each.name}@${each.version}: ${advisory.id}: ${advisory.summary ?? ''}`);
    }
  }
  say(`${folder}: ${read} advisories (${[...ecosystems].sort().join(', ')})`);
  return ecosystems;
}

const { osv, node } = options(process.argv.slice(2));
const lock = json<LockedPackages>('package-lock.json');
findings.push(...loosePins(json<Manifest>('package.json'), lock));
say(`pinned: ${Object.keys(lock.packages).length - 1} packages`);

const bom = JSON.parse(run(process.execPath, ['--import', 'tsx', 'packaging/sbom/main.ts'], { cwd: root })) as Bom;
const shipped = shippedOf(bom);
const ofNpm = shipped.filter(({ ecosystem }) => ecosystem === 'npm');
say(`shipped: ${ofNpm.length} packages of npm, ${shipped.length - ofNpm.length} Go modules, Node ${nodeVersion}`);
const sums = new Set(
  Object.values(lock.packages).flatMap(({ integrity }) => (integrity === undefined ? [] : [integrity])),
);
for (const each of ofNpm) askRegistry(each, sums);

const asked = new Set<string>();
for (const folder of osv) for (const each of askFolder(folder, shipped)) asked.add(each);
if (askNpm()) asked.add('npm');
for (const ecosystem of ['npm', 'Go']) {
  if (!asked.has(ecosystem)) notAsked.push(`weaknesses of ${ecosystem}: name a folder of advisories with --osv`);
}

if (Date.parse(nodeEndOfLife) - notice < Date.now())
  findings.push(`Node ${nodeVersion} is kept until ${nodeEndOfLife}`);
say(`Node ${nodeVersion} is kept until ${nodeEndOfLife}`);
if (node === undefined) notAsked.push("weaknesses of Node: name nodejs/security-wg's vuln/core/index.json with --node");
else
  for (const each of nodeWeaknesses(readFileSync(node, 'utf8'), nodeVersion))
    findings.push(`Node ${nodeVersion}: ${each}`);

for (const each of findings) process.stderr.write(`audit: ${each}\n`);
for (const each of notAsked) process.stderr.write(`audit: not asked: ${each}\n`);
say(`${findings.length} findings, ${notAsked.length} parts not asked about`);
if (findings.length + notAsked.length > 0) process.exitCode = 1;
