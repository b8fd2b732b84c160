/** What people who come from other daemons type first. */
const otherNames: Readonly<Record<string, string>> = {
  vrid: 'id',
  vhid: 'id',
  virtual_router_id: 'id',
  vips: 'addresses',
  virtual_ipaddress: 'addresses',
  advert_int: 'advertInterval',
  dev: 'interface',
  creds: 'credentials',
  credsfile: 'credentials',
};

/** The known name that was probably meant: another spelling, a known synonym, or at most two letters away. */
export function didYouMean(typed: string, known: readonly string[]): string | undefined {
  const synonym = otherNames[plain(typed)] ?? otherNames[typed.toLowerCase()];
  if (synonym !== undefined && known.includes(synonym)) return synonym;
  let best: { name: string; distance: number } | undefined;
  for (const name of known) {
    const a = plain(typed);
    const b = plain(name);
    const isBeginning = (a.length >= 4 && b.startsWith(a)) || a === `${b}file`;
    const distance = isBeginning ? 1 : editDistance(a, b);
    // Two letters of three would turn any word into any other.
    const allowed = Math.min(2, Math.floor(Math.max(a.length, b.length) / 3));
    if (distance <= allowed && (best === undefined || distance < best.distance)) best = { name, distance };
  }
  return best?.name;
}

const plain = (text: string): string => text.toLowerCase().replace(/[_-]/g, '');

/** Letters to insert, delete, replace or swap with their neighbour (optimal string alignment). */
function editDistance(a: string, b: string): number {
  let beforeLast: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (let row = 1; row <= a.length; row += 1) {
    const current = [row];
    for (let column = 1; column <= b.length; column += 1) {
      const same = a[row - 1] === b[column - 1];
      let cost = Math.min(
        (last[column] ?? 0) + 1,
        (current[column - 1] ?? 0) + 1,
        (last[column - 1] ?? 0) + (same ? 0 : 1),
      );
      if (row > 1 && column > 1 && a[row - 1] === b[column - 2] && a[row - 2] === b[column - 1]) {
        cost = Math.min(cost, (beforeLast[column - 2] ?? 0) + 1);
      }
      current.push(cost);
    }
    beforeLast = last;
    last = current;
  }
  return last[b.length] ?? 0;
}
