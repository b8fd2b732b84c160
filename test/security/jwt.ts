import { nkeys } from '@nats-io/nats-core';

type KeyPair = ReturnType<typeof nkeys.createUser>;

const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');

/** A token of NATS, signed by its issuer: https://docs.nats.io/running-a-nats-service/configuration/securing_nats/jwt */
function signed(issuer: KeyPair, subject: KeyPair, name: string, nats: Readonly<Record<string, unknown>>): string {
  const claims = { jti: name, iat: 1_700_000_000, iss: issuer.getPublicKey(), name, sub: subject.getPublicKey(), nats };
  const body = `${part({ typ: 'JWT', alg: 'ed25519-nkey' })}.${part(claims)}`;
  return `${body}.${Buffer.from(issuer.sign(Buffer.from(body))).toString('base64url')}`;
}

const unlimited = { subs: -1, data: -1, payload: -1 };

/** An operator with one account for Koi: the server's settings, and credentials of users. */
export class Operator {
  readonly #operator = nkeys.createOperator();
  readonly #account = nkeys.createAccount();
  readonly #system = nkeys.createAccount();

  /** What belongs into the server's configuration. */
  get serverSettings(): string {
    const nothing = { limits: { ...unlimited, conn: -1, leaf: -1, imports: -1, exports: -1 } };
    const limits = { ...nothing.limits, mem_storage: -1, disk_storage: -1, streams: -1, consumer: -1 };
    const of = (account: KeyPair, name: string, nats: Readonly<Record<string, unknown>>): string =>
      signed(this.#operator, account, name, { ...nats, type: 'account', version: 2 });
    const token = signed(this.#operator, this.#operator, 'operator', { type: 'operator', version: 2 });
    return [
      `operator: "${token}"`,
      `system_account: ${this.#system.getPublicKey()}`,
      'resolver: MEMORY',
      'resolver_preload: {',
      `  ${this.#system.getPublicKey()}: "${of(this.#system, 'SYS', nothing)}"`,
      `  ${this.#account.getPublicKey()}: "${of(this.#account, 'KOI', { limits })}"`,
      '}',
      '',
    ].join('\n');
  }

  /** The content of a credentials file for a new user; those of a `stranger` are signed by an account the server does not know. */
  credentials(name: string, options: { readonly stranger?: boolean } = {}): string {
    const user = nkeys.createUser();
    const issuer = options.stranger === true ? nkeys.createAccount() : this.#account;
    const token = signed(issuer, user, name, { ...unlimited, type: 'user', version: 2, pub: {}, sub: {} });
    const seed = new TextDecoder().decode(user.getSeed());
    return [
      '-----BEGIN NATS USER JWT-----',
      token,
      '------END NATS USER JWT------',
      '',
      '-----BEGIN USER NKEY SEED-----',
      seed,
      '------END USER NKEY SEED------',
      '',
    ].join('\n');
  }
}
