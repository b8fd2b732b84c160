/** Before it, two compare-and-set appends in flight in a cluster could both pass (nats-server #4320). */
const clusteredFloor = [2, 9, 21] as const;

/**
 * Whether a server can keep the promise that an ownership claim is exclusive. `unfit` where it cannot, `warning` where
 * it can as it is but not as a cluster; both in words, with the remedy.
 */
export function judgeServer(server: { readonly version: string; readonly clustered: boolean }): {
  readonly unfit?: string;
  readonly warning?: string;
} {
  const { version, clustered } = server;
  const parts = /^(\d+)\.(\d+)\.(\d+)/.exec(version)?.slice(1).map(Number);
  if (parts === undefined)
    return { warning: `nats-server reports an unknown version (${version}); 2.9.21 is the oldest fit for a cluster` };
  if (!isBefore(parts, [2, 10, 20]) && isBefore(parts, [2, 10, 23])) {
    return { warning: `nats-server ${version} may lose a stream when it is killed; upgrade to 2.10.23 or later` };
  }
  if (!isBefore(parts, [2, 10, 0])) return {};
  const lazy = `nats-server ${version} confirms before it writes to disk, and cannot do otherwise: a power failure loses what it confirmed; upgrade to 2.12 or later`;
  if (!isBefore(parts, clusteredFloor)) return { warning: lazy };
  if (!clustered)
    return {
      warning: `nats-server ${version} is fit for one server only; upgrade to 2.12 or later before clustering it`,
    };
  return {
    unfit: `nats-server ${version} in a cluster may grant one ownership to two nodes; upgrade every server to 2.9.21 or later (2.12 is better)`,
  };
}

function isBefore(version: readonly number[], floor: readonly number[]): boolean {
  for (const [i, least] of floor.entries()) {
    const part = version[i] ?? 0;
    if (part !== least) return part < least;
  }
  return false;
}
