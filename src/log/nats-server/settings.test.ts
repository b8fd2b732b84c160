import { describe, expect, it } from 'vitest';
import { hashOfSecret } from './client-secret.js';
import { type NatsServerSettings, type RenderedNatsServer, renderNatsServer, routePassword } from './settings.js';

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
const clientHash = '$2b$08$egmmpTdC2A.C9l0YobzeRu9z/IrAJEXQVywtXygnIf6TyFYimJxuG';
const started = (change: Partial<NatsServerSettings> = {}): RenderedNatsServer =>
  renderNatsServer({ ...settings, ...change }, { logFile: '/l', clientHash });
const render = (change: Partial<NatsServerSettings> = {}): string => started(change).configuration;

describe("a nats-server's configuration", () => {
  it('writes before it confirms, and says where and who', () => {
    const text = render();
    expect(text).toContain('sync_interval: always');
    expect(text).toContain('listen: "[::]:4222"');
    expect(text).toContain('store_dir: "/var/lib/koi/\\"nats\\""');
    expect(text).toContain(`token: "${clientHash}"`);
    expect(text).toContain('max_file_store: 1024');
  });

  it('authorizes routes by the same secret, which stands neither there nor in its file', () => {
    const password = routePassword(settings.authorization);
    expect(password).toMatch(/^[0-9a-f]{64}$/);
    const { configuration, environment } = started();
    expect(configuration).toContain('password: $KOI_ROUTE_PASSWORD');
    expect(configuration).toContain('routes: $KOI_ROUTES');
    expect(configuration).not.toContain(password);
    expect(environment).toEqual({
      KOI_ROUTE_PASSWORD: `"${password}"`,
      KOI_ROUTES: `["nats-route://koi:${password}@r2:6222", "nats-route://koi:${password}@[fd00::3]:6222"]`,
    });
    expect(routePassword({ kind: 'token', token: 'other' })).not.toBe(password);
    const open = started({ authorization: { kind: 'anyone' } });
    expect(open.configuration).toContain('routes: ["nats-route://r2:6222"');
    expect(open.environment).toEqual({});
  });

  it('is another text where routes or the secret are others: a server that runs is started anew by that', () => {
    const cluster = { name: 'koi', listen: { host: '0.0.0.0', port: 6222 }, routes: ['nats://r2:6222'] };
    expect(render({ cluster })).not.toBe(render());
  });

  it('never writes the seed of an nkey', () => {
    const text = render({ authorization: { kind: 'nkey', publicKey: 'UPUBLIC', secret: 'SUSECRET' } });
    expect(text).toContain('users: [{nkey: "UPUBLIC"}]');
    expect(text).not.toContain('SUSECRET');
  });

  it('never writes a password or a token', () => {
    const password = 'not to be read';
    const text = render({ authorization: { kind: 'password', user: 'k', password } });
    expect(text).toContain(`user: "k"\n  password: "${clientHash}"`);
    expect(text).not.toContain(password);
    expect(render()).not.toContain('a\\"b');
  });

  it.each(['a\nb', 'a\0b', '\u007f'])('refuses %j, which such a file cannot say', (storeDir) => {
    expect(() => render({ storeDir })).toThrow('storeDir contains a control character');
  });
});

describe("the hash of a client's secret", () => {
  it('stays while the secret does, and is another for each server', async () => {
    const hash = await hashOfSecret('secret', '');
    expect(hash).toMatch(/^\$2b\$\d\d\$/);
    expect(await hashOfSecret('secret', `password: "${hash}"`)).toBe(hash);
    expect(await hashOfSecret('other', `password: "${hash}"`)).not.toBe(hash);
    expect(await hashOfSecret('secret', '')).not.toBe(hash);
    expect(await hashOfSecret(clientHash, `password: "${clientHash}"`)).not.toBe(clientHash);
  });
});
