import { execFile } from 'node:child_process';
import { userInfo } from 'node:os';
import { mayBecomeAnotherUser } from '../../kernel/privileges.js';

/** Whom a command runs as; undefined: whoever this process is. */
export type CommandUser = { readonly uid: number; readonly gid: number } | undefined;

const lookUpTimeoutMs = 2_000;
/** Where no user is named and this process is root, the first of these that exists. */
const unprivileged = ['koi', 'nobody'];
const known = new Map<string, Promise<{ uid: number; gid: number } | undefined>>();

/**
 * Finds the user for a command. Root's commands run unprivileged unless they name `root`; without root, and in a
 * container without CAP_SETUID, only this process's own user is possible.
 * @throws Error with a sentence for people
 */
export async function findUser(name: string | undefined): Promise<CommandUser> {
  if (!mayBecomeAnotherUser()) {
    const own = userInfo().username;
    if (name === undefined || name === own) return undefined;
    throw new Error(`koi runs as ${own} and cannot run it as ${name}`);
  }
  for (const candidate of name === undefined ? unprivileged : [name]) {
    const found = await lookUp(candidate);
    if (found !== undefined) return found;
  }
  throw new Error(`there is no user ${name ?? unprivileged.join(' or ')}`);
}

/** Through getent, so that users from a directory service are found as well. */
function lookUp(name: string): Promise<{ uid: number; gid: number } | undefined> {
  const before = known.get(name);
  if (before !== undefined) return before;
  const found = new Promise<{ uid: number; gid: number } | undefined>((resolve) => {
    execFile('getent', ['passwd', name], { timeout: lookUpTimeoutMs }, (error, stdout) => {
      const [, , uid = '', gid = ''] = stdout.trim().split(':');
      const isUsable = error === null && /^\d+$/.test(uid) && /^\d+$/.test(gid);
      // A user that is made later is found later.
      if (!isUsable) known.delete(name);
      resolve(isUsable ? { uid: Number(uid), gid: Number(gid) } : undefined);
    });
  });
  known.set(name, found);
  return found;
}
