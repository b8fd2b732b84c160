import { describe, expect, it } from 'vitest';
import { type NatsServerSettings, renderNatsServer, routePassword } from './settings.js';

const settings: NatsServerSettings = {
  name: 'r1',
  listen: { host: '::', port: 4222 },
  storeDir: '/var/lib/koi/"nats"',
  storeBytesMax: 1024,
  cluster: {
    name: 'koi',
    listen: { host: '0.0.0.0', port: 6222 },
    routes: ['nats://r2:6222', 'nats://[fd00::3]:6222'],
  },
  authorization: { kind: 'token', token: 'a"b\\c' },
};
const render = (change: Partial<NatsServerSettings> = {}): string =>
  renderNatsServer({ ...settings, ...change }, { logFile: '/l' });

describe("a nats-server's configuration", () => {
  it('writes before it confirms, and says where and who', () => {
    const text = render();
    expect(text).toContain('sync_interval: always');
    expect(text).toContain('listen: "[::]:4222"');
    expect(text).toContain('store_dir: "/var/lib/koi/\\"nats\\""');
    expect(text).toContain('token: "a\\"b\\\\c"');
    expect(text).toContain('max_file_store: 1024');
  });

  it('authorizes routes by the same secret, without sending or writing it there', () => {
    const password = routePassword(settings.authorization);
    expect(password).toMatch(/^[0-9a-f]{64}$/);
    expect(render()).toContain(
      `routes: ["nats-route://koi:${password}@r2:6222", "nats-route://koi:${password}@[fd00::3]:6222"]`,
    );
    expect(routePassword({ kind: 'token', token: 'other' })).not.toBe(password);
    expect(render({ authorization: { kind: 'anyone' } })).toContain('routes: ["nats-route://r2:6222"');
  });

  it('never writes the seed of an nkey', () => {
    const text = render({ authorization: { kind: 'nkey', publicKey: 'UPUBLIC', secret: 'SUSECRET' } });
    expect(text).toContain('users: [{nkey: "UPUBLIC"}]');
    expect(text).not.toContain('SUSECRET');
  });

  it.each(['a\nb', 'a\0b', '\u007f'])('refuses %j, which such a file cannot say', (token) => {
    expect(() => render({ authorization: { kind: 'token', token } })).toThrow('the token contains a control character');
  });

  it('refuses a password that nats-server would take for a hash', () => {
    const password = '$2a$11$abcdefghijklmnopqrstuv';
    expect(() => render({ authorization: { kind: 'password', user: 'k', password } })).toThrow('bcrypt');
  });
});
