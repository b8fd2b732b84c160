/** Replaces itself, through the kernel layer, by a Node that says its pid and waits. */
import { execWithCapabilities } from '../../src/kernel/binding.js';

const [mask, path] = process.argv.slice(2);
const program = "console.log('second life', process.pid, process.argv[1]); setInterval(() => {}, 1000)";
execWithCapabilities(
  path ?? process.execPath,
  ['koi second life', '-e', program, 'with argument and blank'],
  process.env,
  BigInt(mask ?? 0),
);
