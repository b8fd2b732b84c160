import { beforeEach, describe, expect, it } from 'vitest';
import type { ObservationPayload } from '../log/event.js';
import type { LogStatus } from '../log/port.js';
import { LogOutages } from './log-outages.js';

let nowMs: number;
let told: ObservationPayload[];
let said: string[];
let outages: LogOutages;

beforeEach(() => {
  [nowMs, told, said] = [1000, [], []];
  const line =
    (level: string) =>
    (report: object, what?: string): void =>
      void said.push(
        `${level} ${what}${'problem' in report && report.problem !== undefined ? `: ${report.problem}` : ''}`,
      );
  outages = new LogOutages({
    servers: () => ['nats://a:4222'],
    observe: (payload) => told.push(payload),
    log: { info: line('info'), warn: line('warn'), error: line('error') },
    now: () => nowMs,
  });
});

const status = (state: LogStatus['state'], problem?: string): LogStatus => ({
  state,
  ...(problem === undefined ? {} : { problem }),
  warnings: [],
  lagEvents: 0,
  lagging: false,
  reconnects: 0,
});

describe('an outage of the log', () => {
  it('is told with its length when it is over', () => {
    outages.moved('connected', status('disconnected', 'refused'));
    outages.moved('disconnected', status('disconnected', 'timed out'));
    nowMs += 2500;
    outages.moved('disconnected', status('connected'));
    expect(told).toEqual([
      { type: 'logLost', reason: 'refused' },
      { type: 'logRejoined', outageMs: 2500 },
    ]);
    expect(said).toEqual([
      'warn the event log cannot be reached: refused',
      'warn the event log cannot be reached: timed out',
      'info the event log can be reached',
    ]);
  });

  it('is none before the first connection, nor when this node ends', () => {
    outages.moved('connecting', status('connecting', 'refused'));
    outages.moved('connecting', status('connected'));
    outages.stop();
    outages.moved('connected', status('disconnected'));
    outages.moved('disconnected', status('stopped'));
    expect(told).toEqual([]);
    expect(said).toHaveLength(3);
  });

  it('is an error where the log is there and cannot keep the promises', () => {
    outages.moved('connected', status('unfit', 'server too old'));
    expect(said).toEqual(['error the event log cannot keep the promises: server too old']);
    expect(told).toEqual([{ type: 'logLost', reason: 'server too old' }]);
  });
});
