import type { NatsConnection } from '@nats-io/transport-node';
import { expect, it } from 'vitest';
import type { LinkListener } from './nats-link.js';
import type { ServerInfo } from './nats-server/probe.js';
import { ServerSurvey } from './server-survey.js';

const member = (name: string, version: string): ServerInfo => ({ name, version, clustered: true });

/** A link to n1 and a clock that stands still. */
function survey(answers: Map<string, ServerInfo | undefined>) {
  const asked: string[] = [];
  const delays: number[] = [];
  let listener: LinkListener | undefined;
  let due: (() => void) | undefined;
  let changes = 0;
  const servers = ['nats://10.0.0.1', 'tls://10.0.0.2:4333', '[fd00::3]:4222'];
  const it = new ServerSurvey({
    link: {
      servers,
      listen: (given) => {
        listener = given;
        return () => undefined;
      },
    },
    onChange: () => {
      changes += 1;
    },
    probe: async ({ host, port }) => {
      asked.push(`${host} ${port}`);
      return answers.get(host);
    },
    timers: {
      nowMs: () => 0,
      after: (delayMs, action) => {
        delays.push(delayMs);
        due = action;
        return () => {
          due = undefined;
        };
      },
    },
  });
  const settle = () => new Promise((resolve) => setImmediate(resolve));
  return {
    it,
    asked,
    delays,
    servers,
    changes: () => changes,
    up: async () => {
      listener?.onUp({ info: { server_name: 'n1' } } as unknown as NatsConnection);
      await settle();
    },
    down: () => listener?.onDown(''),
    isDue: () => due !== undefined,
    fire: async () => {
      due?.();
      await settle();
    },
  };
}

it('asks every server that is known, wherever it is named, and finds nothing wrong', async () => {
  const answers = new Map([
    ['10.0.0.1', member('n1', '2.12.0')],
    ['10.0.0.2', member('n2', '2.12.0')],
    ['fd00::3', member('n3', '2.11.0')],
  ]);
  const of = survey(answers);
  await of.up();
  expect(of.asked).toEqual(['10.0.0.1 4222', '10.0.0.2 4333', 'fd00::3 4222']);
  expect(of.it.verdict).toEqual({ warnings: [] });
  expect([of.changes(), of.delays]).toEqual([0, [60_000]]);
});

it('finds a member that may grant one ownership twice, until it is replaced', async () => {
  const answers = new Map<string, ServerInfo | undefined>([
    ['10.0.0.1', member('n1', '2.12.0')],
    ['10.0.0.2', member('n2', '2.9.20')],
    ['fd00::3', member('n3', '2.10.21')],
  ]);
  const of = survey(answers);
  await of.up();
  expect(of.it.verdict.unfit).toMatch(/^n2 \(10\.0\.0\.2:4333\): nats-server 2\.9\.20 in a cluster/);
  expect(of.it.verdict.warnings).toEqual([
    expect.stringMatching(/^n3 \(fd00::3:4222\): nats-server 2\.10\.21 may lose/),
  ]);
  expect([of.changes(), of.delays]).toEqual([1, [5_000]]);

  answers.set('10.0.0.2', member('n2', '2.12.0'));
  answers.set('fd00::3', undefined);
  await of.fire();
  expect(of.it.verdict).toEqual({ warnings: [] });
  expect([of.changes(), of.delays]).toEqual([2, [5_000, 60_000]]);
});

it('leaves the connected one to whoever is connected, and does not judge who is silent', async () => {
  const of = survey(new Map([['10.0.0.1', member('n1', '2.9.20')]]));
  await of.up();
  expect(of.it.verdict).toEqual({ warnings: [] });
});

it('asks no more than sixteen, and nobody while there is no connection', async () => {
  const of = survey(new Map());
  for (let host = 0; host < 40; host++) of.servers.push(`10.0.1.${host}:4222`);
  await of.up();
  expect(of.asked).toHaveLength(16);
  of.down();
  expect(of.isDue()).toBe(false);
  await of.up();
  expect(of.isDue()).toBe(true);
  of.it.close();
  expect(of.isDue()).toBe(false);
});

it('takes no answer for the present connection that was asked for on an earlier one', async () => {
  let answer: (info: ServerInfo) => void = () => undefined;
  const of = survey(new Map());
  const late = new Promise<ServerInfo>((resolve) => {
    answer = resolve;
  });
  of.servers.splice(0, 3, '10.0.0.9:4222');
  const answers = new Map([['10.0.0.9', late]]);
  const slow = new ServerSurvey({
    link: {
      servers: of.servers,
      listen: (given) => {
        given.onUp({ info: {} } as unknown as NatsConnection);
        given.onDown('');
        return () => undefined;
      },
    },
    onChange: () => undefined,
    probe: async ({ host }) => answers.get(host),
    timers: { nowMs: () => 0, after: () => () => undefined },
  });
  answer(member('n9', '2.9.1'));
  await new Promise((resolve) => setImmediate(resolve));
  expect(slow.verdict).toEqual({ warnings: [] });
});
