import { readFileSync } from 'node:fs';
import { progress, report } from './report.js';
import { scenarios } from './scenarios.js';
import { buildSite } from './site.js';

const words = /koi\.scenario=(\S+)/.exec(readFileSync('/proc/cmdline', 'utf8'))?.[1] ?? '';
const [name = '', ...options] = words.split(',');
const scenario = scenarios[name];
try {
  if (scenario === undefined) throw new Error(`there is no scenario "${name}"`);
  progress(`${name} begins ${process.uptime().toFixed(1)} s after node's start`);
  buildSite();
  report({ scenario: name, ...(await scenario(options)) });
} catch (error) {
  report({
    scenario: name,
    problems: [error instanceof Error ? (error.stack ?? error.message) : String(error)],
    figures: {},
  });
}
// The recorder, the prober and ifupdown's children must not keep the machine up.
process.exit(0);
