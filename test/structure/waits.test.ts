import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

/*
 * Nothing waits for ever. A promise that the code makes by itself shows what ends it: a timer, a deadline that it is given,
 * or it stands below, with what ends it instead. Nothing stops the whole process to wait, not for a disk either.
 */
const root = fileURLToPath(new URL('../../', import.meta.url));
const makes = /new Promise\b|(?<![.\w#])once\(/;
const ends = /setTimeout\(|setImmediate\(|AbortSignal\.timeout\(|scheduler\.set\(|[#.\s(]after\(|timeout:|deadlineMs\)/;
/** Of a function or a method. */
const isEnd = /^(?: {2})?\}/;

const endedOtherwise: Readonly<Record<string, string>> = {
  'src/agent/timeline.ts': 'a follower that a reader keeps open; ends with the signal of his query',
  'src/attach/link-bin.ts': 'one request to the kernel, which answers at its deadline for whoever asked it',
  'src/cli/config-reader.ts': 'the child is killed at the deadline of whoever asks, and then its output ends',
  'src/cli/daemon.ts': 'the end of the daemon: it runs until somebody asks for it',
  'src/cli/dataplane.ts': 'the last lines of the log go to the kernel',
  'src/cli/log-server.ts': 'the kernel says at once whether it listens',
  'src/cli/run.ts': 'the end of the daemon: it runs until a process of it is given up',
  'src/config/log-host-checks.ts': 'the kernel says at once whether it listens',
  'src/config/shared-configuration.ts': 'a computation of fixed length',
  'src/dataplane/agent-server.ts': 'the kernel says at once whether it listens',
  'src/dataplane/guard-link.ts': 'the end of the child, which is killed when whoever waits has waited long enough',
  'src/dataplane/term-store.ts': 'the disk; a term that is not on it is not claimed',
  'src/dataplane/turns.ts': 'a turn of the loop, which serves whoever waits in their order',
  'src/log/jetstream-appends.ts': 'runs against a request with a deadline',
  'src/log/nats-server/keeper.ts': 'node says at once whether the program was started',
  'src/observe/http.ts': 'the kernel says at once whether it listens',
};

const files = (readdirSync(`${root}src`, { recursive: true, encoding: 'utf8' }) as string[])
  .map((file) => `src/${file}`)
  .filter((file) => /(?<!\.test)\.ts$/.test(file) && !/^src\/(sim|log\/gen)\//.test(file))
  .sort();
const linesOf = new Map(files.map((file) => [file, readFileSync(root + file, 'utf8').split('\n')]));

describe('waits', () => {
  it('have a deadline, or are on the list of those that something else ends', () => {
    let waits = 0;
    const open = new Map<string, string>();
    for (const [file, lines] of linesOf) {
      for (const [at, line] of lines.entries()) {
        if (!makes.test(line)) continue;
        waits += 1;
        const end = lines.findIndex((later, index) => index > at && isEnd.test(later));
        if (ends.test(lines.slice(at, end === -1 ? undefined : end).join('\n'))) continue;
        open.set(file, `${file}:${at + 1} ${line.trim()}`);
      }
    }
    expect(waits).toBeGreaterThan(40);
    expect([...open].filter(([file]) => !(file in endedOtherwise)).map(([, what]) => what)).toEqual([]);
    expect(
      Object.keys(endedOtherwise).filter((file) => !open.has(file)),
      'on the list, and not needed there',
    ).toEqual([]);
  });

  it('never stop the process', () => {
    const stopping = [...linesOf].flatMap(([file, lines]) =>
      lines.some((line) => /Atomics\.wait\(|f(?:data)?syncSync\(/.test(line)) ? [file] : [],
    );
    // In the agent alone, when an operator drains the node.
    expect(stopping).toEqual(['src/ipc/drain-file.ts']);
  });
});
