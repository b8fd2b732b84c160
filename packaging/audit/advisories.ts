import { z } from 'zod';
import { compareVersions } from './version.js';

/** What is shipped, as an advisory names it. */
export interface Shipped {
  /** As OSV calls it: https://ossf.github.io/osv-schema/#defined-ecosystems */
  readonly ecosystem: 'npm' | 'Go';
  readonly name: string;
  readonly version: string;
}

const event = z.object({
  introduced: z.string().optional(),
  fixed: z.string().optional(),
  last_affected: z.string().optional(),
});
/** An advisory as https://ossf.github.io/osv-schema/ has it, as far as it matters here. */
const advisory = z.object({
  id: z.string(),
  summary: z.string().optional(),
  withdrawn: z.string().optional(),
  affected: z
    .array(
      z.object({
        package: z.object({ ecosystem: z.string(), name: z.string() }).optional(),
        ranges: z.array(z.object({ type: z.string(), events: z.array(event) })).optional(),
        versions: z.array(z.string()).optional(),
        // Of a Go module: the packages in it that are weak.
        ecosystem_specific: z.object({ imports: z.array(z.object({ path: z.string() })).optional() }).optional(),
      }),
    )
    .optional(),
});
export type Advisory = z.infer<typeof advisory>;

/** @throws where the text is no advisory */
export const parseAdvisory = (text: string): Advisory => advisory.parse(JSON.parse(text));

/**
 * Whether an advisory that stands is about this very version.
 *
 * @param links whether what is shipped was linked with a Go package, which not every package of its modules is
 */
export function concerns(
  { withdrawn, affected = [] }: Advisory,
  shipped: Shipped,
  links: (goPackage: string) => boolean = () => true,
): boolean {
  if (withdrawn !== undefined) return false;
  return affected.some(({ package: of, ranges = [], versions = [], ecosystem_specific: more }) => {
    if (of?.ecosystem !== shipped.ecosystem || of.name !== shipped.name) return false;
    const weak = more?.imports ?? [];
    if (weak.length > 0 && !weak.some(({ path }) => links(path))) return false;
    return (
      versions.includes(shipped.version) || ranges.some(({ type, events }) => type !== 'GIT' && within(events, shipped))
    );
  });
}

/** Each event changes it from the version that it names on; `last_affected` from the one after. */
function within(events: readonly z.infer<typeof event>[], { version }: Shipped): boolean {
  const changes = events.map(({ introduced, fixed, last_affected: last }) => {
    if (introduced !== undefined) return { at: introduced === '0' ? '0.0.0-0' : introduced, affects: true };
    return fixed !== undefined
      ? { at: fixed, affects: false }
      : { at: last ?? '0.0.0-0', affects: false, isLast: true };
  });
  changes.sort((a, b) => compareVersions(a.at, b.at));
  let affects = false;
  for (const { at, affects: then, isLast } of changes) {
    const order = compareVersions(version, at);
    if (isLast === true ? order > 0 : order >= 0) affects = then;
  }
  return affects;
}

const coreAdvisory = z.object({
  cve: z.array(z.string()).optional(),
  vulnerable: z.string(),
  patched: z.string().optional(),
});

/**
 * Weaknesses of Node's own that a version has, from `vuln/core/index.json` of github.com/nodejs/security-wg: `vulnerable`
 * names release lines (`22.x || 24.x`), `patched` the first good version of each (`^22.22.2 || ^24.14.1`).
 *
 * @throws where the text is something else
 */
export function nodeWeaknesses(text: string, version: string): string[] {
  const known = z.record(z.string(), coreAdvisory).parse(JSON.parse(text));
  const [major = ''] = version.split('.');
  return Object.values(known).flatMap(({ cve = [], vulnerable, patched = '' }) => {
    if (!vulnerable.split('||').some((line) => line.trim() === `${major}.x`)) return [];
    const good = patched.split('||').map((each) => each.trim().replace(/^\^/, ''));
    const first = good.find((each) => each.startsWith(`${major}.`));
    return first !== undefined && compareVersions(version, first) >= 0 ? [] : [cve.join(' ') || vulnerable];
  });
}
