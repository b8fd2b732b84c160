import type { Command } from 'commander';
import { defaultControlPath, readControlPath } from '../config/control-path.js';

export interface SocketOptions {
  readonly config?: string;
  readonly socket?: string;
}

/** Adds the two ways to say which daemon is meant. */
export function addSocketOptions(command: Command): Command {
  return command
    .option('-c, --config <file>', 'the configuration of the daemon to ask')
    .option('--socket <path>', `its control socket (default: ${defaultControlPath})`);
}

/**
 * The control socket of the daemon that was meant.
 *
 * @throws KoiError where the configuration file does not say it
 */
export function socketPathOf({ config, socket }: SocketOptions): string {
  if (socket !== undefined) return socket;
  return config === undefined ? defaultControlPath : readControlPath(config);
}
