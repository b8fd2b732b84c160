import { buildConfig } from './build.js';
import type { KoiConfig, LogConfig, VirtualRouterConfig } from './config.js';
import { type ConfigPath, valueAt } from './path.js';
import { configSchema } from './schema.js';

/** The parts of a configuration that is wrong as a whole which can be compared with this machine all the same. */
export interface RightParts {
  readonly log: LogConfig | undefined;
  /** At the places that they have in the file; undefined: something is wrong with it. */
  readonly virtualRouters: readonly (VirtualRouterConfig | undefined)[];
}

/**
 * Finds what is right in itself in a configuration that is not.
 *
 * @param refused the paths at which something is wrong
 */
export function rightParts(root: unknown, refused: readonly ConfigPath[]): RightParts {
  const isRight = (...place: ConfigPath): boolean =>
    !refused.some((path) => place.every((part, at) => path.length <= at || part === path[at]));
  const list = valueAt(root, ['virtualRouters']);
  return {
    log: isRight('log') ? alone({ log: valueAt(root, ['log']) })?.log : undefined,
    virtualRouters: (Array.isArray(list) ? (list as unknown[]) : []).map((router, index) =>
      isRight('virtualRouters', index) ? alone({ virtualRouters: [router] })?.virtualRouters[0] : undefined,
    ),
  };
}

/** What the part becomes in a configuration that has only what must be there beside it. */
function alone(part: Readonly<Record<string, unknown>>): KoiConfig | undefined {
  const router = { name: 'koi', interface: 'koi', id: 1, addresses: ['192.0.2.1/32'] };
  const least = { cluster: 'koi', node: 'koi', log: { servers: ['nats://koi:4222'] }, virtualRouters: [router] };
  const parsed = configSchema.safeParse({ ...least, ...part });
  return parsed.success ? buildConfig(parsed.data, 'koi') : undefined;
}
