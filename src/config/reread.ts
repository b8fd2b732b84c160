import { createHash } from 'node:crypto';
import type { KoiConfig } from './config.js';
import { type ConfigDiff, describeDiff, diffConfig } from './diff.js';
import { checkFiles, checkPrograms } from './file-checks.js';
import { readHostView } from './host-view.js';
import { invalidConfig, parseConfig } from './load.js';
import type { ConfigProblem } from './problem.js';
import { readConfigText } from './read-text.js';

/** A configuration file that was read again while koi runs, and can be applied. */
export interface Reread {
  readonly config: KoiConfig;
  readonly diff: ConfigDiff;
  /** The differences, a line each. */
  readonly changes: readonly string[];
  readonly digest: string;
}

/**
 * Reads the file again and compares it with what is in force. All or nothing: any error, and any change that needs a
 * restart, refuses the whole.
 *
 * @throws KoiError 'config' whose message lists every problem; as `readConfigText` besides
 */
export function rereadConfig(file: string, current: KoiConfig): Reread {
  const parsed = parseConfig(readConfigText(file), { host: readHostView() });
  if (!parsed.ok) throw invalidConfig(file, parsed.errors);
  const { config, document } = parsed;
  const diff = diffConfig(current, config);
  const errors: readonly ConfigProblem[] = [
    ...checkFiles(document).errors,
    ...checkPrograms(document).errors,
    ...diff.fixed.map(({ field, restart }) => ({
      path: field,
      line: document.lineOf([field]),
      message: 'a reload cannot change it',
      remedy:
        restart === 'agent'
          ? 'restart the agent for it, which moves no address; then reload'
          : 'restart koi on this node for it: `koi drain` first moves its addresses',
    })),
  ];
  if (errors.length > 0) throw invalidConfig(file, errors);
  return { config, diff, changes: describeDiff(diff), digest: digestOf(config) };
}

/** What agent and dataplane must have in common, in 16 hexadecimal digits. Secrets of the agent are no part of it. */
export function digestOf({ cluster, node, track, virtualRouters, arbitrationTimeoutMs, guard }: KoiConfig): string {
  const shared = { cluster, node, track, virtualRouters, arbitrationTimeoutMs, guard };
  return createHash('sha256').update(JSON.stringify(shared)).digest('hex').slice(0, 16);
}
