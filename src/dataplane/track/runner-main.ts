import { constants, setPriority } from 'node:os';
import { mayBecomeAnotherUser, runWithoutCapabilities } from '../../kernel/privileges.js';
import { openLinePipe } from './line-pipe.js';
import { Runner } from './runner.js';
import { type FromRunner, type ToRunner, toRunner } from './runner-protocol.js';

/*
 * The process in which the dataplane's scripts and hooks are started. It ends with the pipe to the dataplane.
 *
 * Root stays root here, to become the user that a command names, and keeps nothing of it for the command. Whoever cannot
 * become another user gives up the dataplane's capabilities first: they would pass to every command.
 */
if (!mayBecomeAnotherUser()) runWithoutCapabilities();
process.title = 'koi runner';
// The dataplane comes before everybody else; what it has started does not.
setPriority(constants.priority.PRIORITY_NORMAL);
// The dataplane decides when to end, and it ends the runner by closing the pipe.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => undefined);

let tell: (message: FromRunner) => void = () => undefined;
const runner = new Runner((message) => tell(message));
const pipe = openLinePipe<ToRunner, FromRunner>({
  input: process.stdin,
  output: process.stdout,
  schema: toRunner,
  onMessage: (message) => runner.take(message),
  onEnd: () => {
    runner.stop();
    process.exit(0);
  },
});
tell = (message) => void pipe.send(message);
