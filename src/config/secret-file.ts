import { readFileSync, statSync } from 'node:fs';
import { KoiError } from '../koi-error.js';

const secretBytesMax = 4_096;
/** Of the key in `lanKeyFile`. */
export const lanKeyBytesMin = 16;

/**
 * Reads a file that holds one secret; a line break at its end is not part of it.
 *
 * @param field the configuration's name for it, for the error: `log.passwordFile`
 * @throws KoiError 'config' where the file is absent, empty or too large, 'privilege' where it may not be read
 */
export function readSecretFile(file: string, field: string): string {
  let text: string;
  try {
    if (statSync(file).size > secretBytesMax) {
      throw new KoiError('config', `${field}: ${file} is larger than ${secretBytesMax} bytes`, {
        remedy: 'the file holds the secret and nothing else',
      });
    }
    text = readFileSync(file, 'utf8').replace(/\r?\n$/, '');
  } catch (cause) {
    if (cause instanceof KoiError) throw cause;
    const code = (cause as NodeJS.ErrnoException).code;
    if (code === 'EACCES' || code === 'EPERM') {
      throw new KoiError('privilege', `${field}: no permission to read ${file}`, {
        remedy: 'let the user that koi runs as read it, and nobody else',
        cause,
      });
    }
    throw new KoiError('config', `${field}: cannot read ${file} (${code ?? 'unknown error'})`, {
      remedy: 'create the file, or correct its path',
      cause,
    });
  }
  if (text === '') {
    throw new KoiError('config', `${field}: ${file} is empty`, { remedy: 'write the secret into it' });
  }
  return text;
}
