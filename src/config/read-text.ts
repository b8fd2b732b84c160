import { readFileSync } from 'node:fs';
import { KoiError } from '../koi-error.js';

const fileBytesMax = 4 * 1_024 * 1_024;

/**
 * Reads a configuration file without judging it.
 *
 * @throws KoiError 'config' where there is no readable file of a sane size, 'privilege' where it may not be read
 */
export function readConfigText(file: string): string {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code;
    if (code === 'EACCES' || code === 'EPERM') {
      throw new KoiError('privilege', `${file}: no permission to read the configuration`, {
        remedy: 'run koi as a user that may read it',
        cause,
      });
    }
    const why = code === 'ENOENT' ? 'there is no such file' : code === 'EISDIR' ? 'is a directory' : String(code);
    throw new KoiError('config', `${file}: ${why}`, { remedy: 'name the configuration with -c FILE', cause });
  }
  if (text.length > fileBytesMax) {
    throw new KoiError('config', `${file}: is larger than ${fileBytesMax} bytes`, {
      remedy: 'is it a koi configuration?',
    });
  }
  return text;
}
