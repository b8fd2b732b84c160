import { beforeEach, describe, expect, it } from 'vitest';
import { configOf } from '../../test/agent/node.js';
import type { KoiConfig } from '../config/config.js';
import { digestOf } from '../config/reread.js';
import type { ToAgent } from '../ipc/protocol.js';
import { KoiError } from '../koi-error.js';
import { ConfigurationInForce } from './configuration-in-force.js';
import { OwnNode } from './own-node.js';

const before = configOf('gw', 'dns');
const after = configOf('gw');
const answer: Extract<ToAgent, { type: 'reloaded' }> = {
  type: 'reloaded',
  id: null,
  digest: digestOf(after),
  problem: null,
  changes: ['dns: gone'],
  warnings: ['slow'],
  vrs: [],
};

let node: OwnNode;
let said: unknown[];
/** What the file is found to be, when the dataplane says what it runs with. */
let match: KoiConfig | string;
let refusal: KoiError | undefined;
let isAnswer: boolean;
let inForce: ConfigurationInForce;

beforeEach(() => {
  node = new OwnNode(before, () => false);
  [said, match, refusal, isAnswer] = [[], after, undefined, false];
  const line =
    (level: string) =>
    (...report: unknown[]): void =>
      void said.push([level, report.at(-1)]);
  inForce = new ConfigurationInForce({
    node,
    source: {
      file: '/k.yaml',
      service: {
        ready: () => said.push('ready'),
        reloading: () => said.push('reloading'),
        status: () => undefined,
        stopping: () => undefined,
        tick: () => undefined,
      },
    },
    reloads: {
      reload: async (_, guarded) => {
        said.push(['reload', guarded]);
        if (refusal !== undefined) throw refusal;
        return { config: after, answer };
      },
      match: () => match,
      answered: () => isAnswer,
    },
    configurations: {
      runningNow: () => new Map(),
      whileTakenBack: (work) => work(),
      guarded: (mayWithoutLog) => (mayWithoutLog('gw') ? [] : [{ vr: 'gw', digests: [] }]),
      remarks: (_, isForced) => [isForced ? 'forced' : 'agreed'],
      force: () => said.push('forced'),
    },
    observe: (payload) => said.push(payload),
    onAdopted: (gone) => said.push(['adopted', gone]),
    log: { info: line('info'), warn: line('warn'), error: line('error') },
  });
});

const applied = { type: 'configApplied', digest: answer.digest, changes: answer.changes };

describe('the configuration in force', () => {
  it('is what a reload has brought about, which is told to whoever waits and to the log', async () => {
    expect(await inForce.reload()).toEqual({
      file: '/k.yaml',
      changes: ['dns: gone'],
      warnings: ['slow'],
      waiting: [],
      remarks: ['agreed'],
    });
    expect(said).toEqual(['reloading', ['reload', []], ['adopted', ['dns']], applied, 'ready']);
    expect(node.routerNames).toEqual(['gw']);
  });

  it('is guarded by nobody where it is forced', async () => {
    expect((await inForce.reload(true)).remarks).toEqual(['forced']);
    expect(said).toEqual(['reloading', ['reload', undefined], ['adopted', ['dns']], applied, 'forced', 'ready']);
  });

  it('stays where the file is refused, and the service is ready all the same', async () => {
    refusal = new KoiError('config', 'wrong');
    await expect(inForce.reload()).rejects.toBe(refusal);
    await inForce.reloadOnSignal();
    expect(said).toEqual([
      ...['reloading', ['reload', []], 'ready', 'reloading', ['reload', []], 'ready'],
      ['error', 'the configuration was not reloaded; the one before stays in force'],
    ]);
    expect(node.config).toBe(before);
  });

  it('follows the dataplane, which somebody else has told to read its file', () => {
    inForce.dataplaneReloaded(answer);
    expect(said).toEqual([applied, ['adopted', ['dns']]]);
    inForce.dataplaneReloaded({ ...answer, problem: 'wrong' });
    isAnswer = true;
    inForce.dataplaneReloaded(answer);
    expect(said).toHaveLength(2);
  });

  it('is not the file where the dataplane runs with something else, until that is mended', () => {
    inForce.follow(digestOf(before));
    expect([said, inForce.mismatch]).toEqual([[], undefined]);
    match = '/k.yaml is not what the dataplane runs with';
    inForce.follow('d7');
    expect([said, inForce.mismatch]).toEqual([[['warn', match]], match]);
    expect(node.config).toBe(before);
    match = after;
    inForce.follow('d7');
    expect([inForce.mismatch, node.config]).toEqual([undefined, after]);
  });
});
