import type { Command } from 'commander';

/** What the module of a subcommand exports: it adds its options, examples and action to the command it is given. */
export interface CommandModule {
  define(command: Command): void;
}

/** One line of the list of subcommands. The module is loaded only when its command is asked for. */
export interface CommandEntry {
  readonly name: string;
  readonly summary: string;
  readonly load: () => Promise<CommandModule>;
}
