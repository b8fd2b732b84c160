/** The licenses, by SPDX identifier, that may go out together with Koi, which is under Apache-2.0. */
export const compatible = ['Apache-2.0', 'BSD-2-Clause', 'BSD-3-Clause', 'ISC', 'MIT', 'Unlicense', '0BSD'];

/**
 * Whether all that an SPDX expression asks for can be kept. Alternatives (`OR`) need one that can, and what is not understood
 * cannot.
 */
export function isCompatible(expression: string): boolean {
  const text = expression.trim();
  const inner = /^\(([^()]*)\)$/.exec(text)?.[1] ?? text;
  if (/[()]/.test(inner) || inner === '') return false;
  return inner
    .split(/ OR /)
    .some((alternative) => alternative.split(/ AND /).every((each) => compatible.includes(each.trim())));
}

/** Of the modules inside nats-server, as their LICENSE files say; Go's own tools do not tell. */
export const goLicenses: Readonly<Record<string, string>> = {
  'github.com/nats-io/nats-server/v2': 'Apache-2.0',
  'github.com/nats-io/jwt/v2': 'Apache-2.0',
  'github.com/nats-io/nkeys': 'Apache-2.0',
  'github.com/nats-io/nuid': 'Apache-2.0',
  'github.com/minio/highwayhash': 'Apache-2.0',
  'github.com/klauspost/compress': 'Apache-2.0 AND BSD-3-Clause AND MIT',
  'github.com/antithesishq/antithesis-sdk-go': 'MIT',
  'golang.org/x/crypto': 'BSD-3-Clause',
  'golang.org/x/sys': 'BSD-3-Clause',
  'golang.org/x/time': 'BSD-3-Clause',
};
