import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** A certificate authority of its own, as openssl makes it; every file stands in one directory. */
export class Authority {
  readonly ca: string;
  readonly #directory: string;
  readonly #name: string;

  constructor(directory: string, name: string) {
    this.#directory = directory;
    this.#name = name;
    this.ca = this.#file('ca.pem');
    this.#openssl(
      ...['req', '-x509', ...this.#newKey(this.#file('ca.key')), '-out', this.ca, '-subj', `/CN=${name}`],
      ...['-days', '2', '-addext', 'basicConstraints=critical,CA:TRUE', '-addext', 'keyUsage=keyCertSign,cRLSign'],
    );
  }

  /** A certificate for these names: `IP:127.0.0.1` or `DNS:nats.example`. */
  issue(subject: string, alternativeNames: string): { readonly cert: string; readonly key: string } {
    const [cert, key] = [this.#file(`${subject}.pem`), this.#file(`${subject}.key`)];
    const [request, extensions] = [this.#file(`${subject}.csr`), this.#file(`${subject}.ext`)];
    writeFileSync(extensions, `subjectAltName=${alternativeNames}\nextendedKeyUsage=serverAuth,clientAuth\n`);
    this.#openssl('req', ...this.#newKey(key), '-out', request, '-subj', `/CN=${subject}`);
    this.#openssl(
      ...['x509', '-req', '-in', request, '-CA', this.ca, '-CAkey', this.#file('ca.key'), '-CAcreateserial'],
      ...['-days', '2', '-extfile', extensions, '-out', cert],
    );
    return { cert, key };
  }

  #newKey(file: string): string[] {
    return ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-keyout', file];
  }

  #file(name: string): string {
    return join(this.#directory, `${this.#name}-${name}`);
  }

  #openssl(...words: readonly string[]): void {
    execFileSync('openssl', words, { stdio: ['ignore', 'ignore', 'pipe'] });
  }
}
