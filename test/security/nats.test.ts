import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { nkeys } from '@nats-io/nats-core';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type JetStreamLogs, openJetStreamLogs } from '../../src/log/jetstream.js';
import type { NatsAuthentication } from '../../src/log/nats-link.js';
import type { NatsTls } from '../../src/log/nats-tls.js';
import type { LogStatus } from '../../src/log/port.js';
import { waitUntil } from '../lab/wait.js';
import { NatsServer, natsServerBinary } from '../log/nats-server.js';
import { Authority } from './authority.js';
import { Operator } from './jwt.js';

const deadlineMs = 8_000;

describe.skipIf(natsServerBinary === undefined)('who the log lets in (needs nats-server and openssl)', () => {
  let directory: string;
  let authority: Authority;
  let stranger: Authority;
  let server: NatsServer | undefined;
  let logs: JetStreamLogs | undefined;

  beforeAll(() => {
    directory = mkdtempSync(join(tmpdir(), 'koi-nats-auth-'));
    authority = new Authority(directory, 'own');
    stranger = new Authority(directory, 'stranger');
  });
  afterAll(() => rmSync(directory, { recursive: true, force: true }));
  beforeEach(() => {
    server = undefined;
    logs = undefined;
  });
  afterEach(async () => {
    await logs?.close();
    await server?.remove();
  });

  const file = (name: string, content: string): string => {
    const path = join(directory, name);
    writeFileSync(path, content, { mode: 0o600 });
    return path;
  };

  async function serve(settings: string): Promise<string> {
    server = await NatsServer.start(['-c', file('nats.conf', settings)]);
    return server.url;
  }

  function open(url: string, authentication: NatsAuthentication, tls?: NatsTls): () => LogStatus {
    logs = openJetStreamLogs({ cluster: 'edge', name: 'r1', servers: [url], replicas: 1, authentication, tls });
    let status: LogStatus | undefined;
    logs.events.watch((now) => {
      status = now;
    });
    return () => {
      if (status === undefined) throw new Error('watch did not call back at once');
      return status;
    };
  }

  async function connects(status: () => LogStatus): Promise<void> {
    await waitUntil('the log', () => (status().state === 'connected' ? undefined : JSON.stringify(status())), {
      deadlineMs,
    });
  }

  /** Why it does not connect, as `koi status` says it. */
  async function refused(status: () => LogStatus): Promise<string> {
    await waitUntil('a reason', () => (status().problem === undefined ? JSON.stringify(status()) : undefined), {
      deadlineMs,
    });
    expect(status().state).toBe('connecting');
    return status().problem ?? '';
  }

  const tlsSettings = ({ cert, key }: { cert: string; key: string }, more = ''): string =>
    `tls { cert_file: "${cert}", key_file: "${key}"${more} }\n`;

  describe('TLS', () => {
    it('takes a server that the named authority signed', async () => {
      const url = await serve(tlsSettings(authority.issue('server', 'IP:127.0.0.1')));
      await connects(open(url, { kind: 'none' }, { ca: authority.ca }));
    });

    it('refuses a server of another authority', async () => {
      const url = await serve(tlsSettings(authority.issue('server', 'IP:127.0.0.1')));
      const why = await refused(open(url, { kind: 'none' }, { ca: stranger.ca }));
      expect(why).toContain('not of the authority in log.tls.ca');
    });

    it('refuses a server whose certificate is for another name', async () => {
      const url = await serve(tlsSettings(authority.issue('elsewhere', 'DNS:nats.example')));
      const why = await refused(open(url, { kind: 'none' }, { ca: authority.ca }));
      expect(why).toMatch(/127\.0\.0\.1 is not in the cert's list.*must name the host of log\.servers/);
    });

    it('refuses a server without TLS, whether the section or the scheme asks for it', async () => {
      const url = await serve('');
      expect(await refused(open(url, { kind: 'none' }, { ca: authority.ca }))).toContain("does not support 'tls'");
      await logs?.close();
      const scheme = url.replace('nats://', 'tls://');
      expect(await refused(open(scheme, { kind: 'none' }))).toContain("does not support 'tls'");
    });

    it('shows its own certificate where the server wants one', async () => {
      const settings = tlsSettings(
        authority.issue('server', 'IP:127.0.0.1'),
        `, ca_file: "${authority.ca}", verify: true`,
      );
      const url = await serve(settings);
      await connects(open(url, { kind: 'none' }, { ca: authority.ca, ...authority.issue('r1', 'DNS:r1') }));
      await logs?.close();
      const why = await refused(open(url, { kind: 'none' }, { ca: authority.ca }));
      expect(why).toContain('certificate');
      await logs?.close();
      const gone = await refused(open(url, { kind: 'none' }, { ca: join(directory, 'nowhere.pem') }));
      expect(gone).toContain('nowhere.pem');
    });
  });

  describe('authentication', () => {
    it('by a password from a file, which is read anew at each connection', async () => {
      const url = await serve('authorization { user: koi, password: right }');
      const passwordFile = file('pass', 'wrong\n');
      const status = open(url, { kind: 'passwordFile', user: 'koi', file: passwordFile });
      expect(await refused(status)).toContain('what this node shows for it is wrong');
      file('pass', 'right\n');
      await connects(status);
    });

    it('by an nkey, of which the server has the public half', async () => {
      const user = nkeys.createUser();
      const url = await serve(`authorization { users: [{ nkey: ${user.getPublicKey()} }] }`);
      const seed = file('nkey', `${new TextDecoder().decode(user.getSeed())}\n`);
      await connects(open(url, { kind: 'nkey', file: seed }));
      await logs?.close();
      const other = file('other.nkey', new TextDecoder().decode(nkeys.createUser().getSeed()));
      expect(await refused(open(url, { kind: 'nkey', file: other }))).toContain('what this node shows for it is wrong');
      await logs?.close();
      expect(await refused(open(url, { kind: 'nkey', file: file('no.nkey', 'nonsense') }))).not.toBe('');
      await logs?.close();
      expect(await refused(open(url, { kind: 'nkey', file: join(directory, 'nowhere') }))).toContain('nowhere');
    });

    it('by a credentials file, a token signed by the account', async () => {
      const operator = new Operator();
      const url = await serve(operator.serverSettings);
      await connects(open(url, { kind: 'credentials', file: file('r1.creds', operator.credentials('r1')) }));
      await logs?.close();
      const forged = file('forged.creds', operator.credentials('r1', { stranger: true }));
      expect(await refused(open(url, { kind: 'credentials', file: forged }))).toContain(
        'what this node shows for it is wrong',
      );
    });
  });
});
