import bcrypt from 'bcryptjs';

/**
 * Each connection costs the server one comparison, and so does each wrong guess over the network: a secret that is drawn at
 * random, as the documents do, needs no more; a short one is not guessed at millions a second from a copy of the file.
 */
const cost = 6;
const hashForm = /\$2b\$(\d\d)\$[./A-Za-z0-9]{53}/;

/**
 * What nats-server compares a client's password or token with. bcrypt looks at 72 bytes of it.
 *
 * @param earlier a file that may hold a hash of the same secret: then it stays, and a server that runs with it need not be
 *   started anew
 */
export async function hashOfSecret(secret: string, earlier: string): Promise<string> {
  const [hash, costOf] = hashForm.exec(earlier) ?? [];
  const stays = hash !== undefined && Number(costOf) === cost && (await bcrypt.compare(secret, hash));
  return stays ? hash : bcrypt.hash(secret, cost);
}
