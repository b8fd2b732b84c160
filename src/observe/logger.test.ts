import { Writable } from 'node:stream';
import { expect, it } from 'vitest';
import { createLogger, readLogLevel } from './logger.js';

function collect(): { stream: Writable; text: () => string } {
  let text = '';
  const stream = new Writable({
    write(chunk, _encoding, done) {
      text += String(chunk);
      done();
    },
  });
  return { stream, text: () => text };
}

it('writes one line of JSON with process, level and time', () => {
  const { stream, text } = collect();
  createLogger({ process: 'agent', level: 'info', stream, terminal: false }).info({ vr: 'gw' }, 'backup → master');
  const line = JSON.parse(text());
  expect(line).toMatchObject({ level: 'info', process: 'agent', vr: 'gw', msg: 'backup → master' });
  expect(new Date(line.time).toISOString()).toBe(line.time);
});

it('writes readable lines on a terminal', async () => {
  const { stream, text } = collect();
  createLogger({ process: 'agent', level: 'info', stream, terminal: true }).warn({ vr: 'gw' }, 'hello');
  await expect.poll(text).toMatch(/WARN.*hello/);
  expect(text()).toContain('"vr":"gw"');
});

it('keeps to its level', () => {
  const { stream, text } = collect();
  createLogger({ process: 'agent', level: 'warn', stream, terminal: false }).info('quiet');
  expect(text()).toBe('');
});

it('never writes a secret, however deep it sits', () => {
  const { stream, text } = collect();
  const logger = createLogger({ process: 'agent', level: 'info', stream, terminal: false });
  logger.info(
    { token: 'hush', a: { password: 'hush', b: { seed: 'hush', c: { password: 'hush', user: 'koi' } } } },
    'x',
  );
  logger.info({ config: { log: { authentication: { kind: 'password', password: 'hush' } } } }, 'x');
  logger.info({ servers: [{ password: 'hush' }] }, 'x');
  logger.error({ err: Object.assign(new Error('refused'), { options: { password: 'hush' } }) }, 'x');
  logger.error(Object.assign(new Error('refused'), { token: 'hush' }));
  logger.error({ why: Object.assign(new Error('refused'), { a: [{ seed: 'hush' }] }) }, 'x');
  logger.child({ server: { password: 'hush' } }).info('x');
  logger.child({ node: 'r1' }).child({ token: 'hush' }).info('x');
  expect(text()).not.toContain('hush');
  expect(text()).toContain('"user":"koi"');
  expect(text()).toContain('"message":"refused"');
});

it('leaves what it is given as it is', () => {
  const { stream } = collect();
  const said = { a: [{ password: 'hush' }] };
  createLogger({ process: 'agent', level: 'info', stream, terminal: false }).info(said, 'x');
  expect(said).toEqual({ a: [{ password: 'hush' }] });
});

it('reads its level from the option, then the environment', () => {
  expect(readLogLevel(undefined, {})).toBe('info');
  expect(readLogLevel(undefined, { KOI_LOG_LEVEL: 'debug' })).toBe('debug');
  expect(readLogLevel('error', { KOI_LOG_LEVEL: 'debug' })).toBe('error');
  expect(() => readLogLevel('loud', {})).toThrow("--log-level: 'loud' is not a level");
  expect(() => readLogLevel(undefined, { KOI_LOG_LEVEL: 'loud' })).toThrow("KOI_LOG_LEVEL: 'loud' is not a level");
});
