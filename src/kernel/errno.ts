import { constants } from 'node:os';

/** The name of an errno, as errno(3) spells it: `EEXIST`. Numbers without a name become `E<number>`. */
export type ErrnoName = `E${string}`;

const names = new Map<number, ErrnoName>();
for (const [name, number] of Object.entries(constants.errno)) names.set(number, name as ErrnoName);
// os.constants leaves these out, and netlink answers with some of them (asm-generic/errno.h, linux/errno.h).
for (const [name, number] of [
  ['EUSERS', 87],
  ['ESOCKTNOSUPPORT', 94],
  ['EPFNOSUPPORT', 96],
  ['ENOTSUPP', 524],
] as const) {
  names.set(number, name);
}
// Two names share a number; the kernel's own documentation uses these.
names.set(11, 'EAGAIN');
names.set(95, 'EOPNOTSUPP');

/** `17` or `-17` → `'EEXIST'`. */
export function errnoName(errno: number): ErrnoName {
  const number = Math.abs(errno);
  return names.get(number) ?? `E${number}`;
}

const sentences: Readonly<Record<string, string>> = {
  EPERM: 'not permitted',
  EACCES: 'not permitted',
  ENODEV: 'no such interface',
  ENXIO: 'no such interface',
  ENETDOWN: 'the interface is down',
  EEXIST: 'it exists already',
  EADDRINUSE: 'the address is in use',
  EADDRNOTAVAIL: 'no such address',
  ENOBUFS: 'no buffer space',
  ENOMEM: 'out of memory',
  ENFILE: 'none is left',
  ENOSPC: 'none is left',
  EINVAL: 'the kernel refuses the arguments',
  EOPNOTSUPP: 'the kernel does not support it',
  EAFNOSUPPORT: 'the kernel does not support the address family',
  EPROTONOSUPPORT: 'the kernel does not support the protocol',
  EMSGSIZE: 'the message is too long',
  ETIMEDOUT: 'no answer in time',
  ERANGE: 'the name is too long',
  EBUSY: 'it is in use',
};

/** A short sentence for an operator, or the bare name where there is none. */
export function errnoSentence(name: ErrnoName): string {
  return sentences[name] ?? name;
}
