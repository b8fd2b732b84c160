import type { Command } from 'commander';
import { configJsonSchema } from '../config/json-schema.js';

export function define(command: Command): void {
  command
    .option('--json', 'the schema is JSON in any case')
    .addHelpText(
      'after',
      `
Examples:
  koi schema > koi.schema.json
  # in the configuration, for editors:
  #   # yaml-language-server: $schema=./koi.schema.json
`,
    )
    .action(() => {
      process.stdout.write(`${JSON.stringify(configJsonSchema(), null, 2)}\n`);
    });
}
