/**
 * Orders versions as semver.org, section 11, does; a leading `v` and what follows a `+` do not count.
 *
 * @returns below 0 where `a` comes first, 0 where they are the same, above 0 else
 */
export function compareVersions(a: string, b: string): number {
  const [first, second] = [parts(a), parts(b)];
  for (let at = 0; at < 3; at += 1) {
    const difference = (first.numbers[at] ?? 0) - (second.numbers[at] ?? 0);
    if (difference !== 0) return difference;
  }
  return comparePre(first.pre, second.pre);
}

function parts(version: string): { readonly numbers: readonly number[]; readonly pre: readonly string[] } {
  const [core = '', ...pre] = version.replace(/^v/, '').replace(/\+.*$/, '').split('-');
  return { numbers: core.split('.').map(Number), pre: pre.length === 0 ? [] : pre.join('-').split('.') };
}

function comparePre(a: readonly string[], b: readonly string[]): number {
  // A version comes after its own previews.
  if (a.length === 0 || b.length === 0) return b.length - a.length;
  for (let at = 0; at < Math.max(a.length, b.length); at += 1) {
    const [left, right] = [a[at], b[at]];
    if (left === undefined || right === undefined) return left === undefined ? -1 : 1;
    if (left === right) continue;
    const areNumbers = [left, right].map((each) => /^\d+$/.test(each));
    if (areNumbers[0] && areNumbers[1]) return Number(left) - Number(right);
    if (areNumbers[0] !== areNumbers[1]) return areNumbers[0] ? -1 : 1;
    return left < right ? -1 : 1;
  }
  return 0;
}
