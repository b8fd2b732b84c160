import { KoiError } from '../koi-error.js';
import { expandEnvironment } from './environment.js';
import { isMap } from './path.js';
import { readConfigText } from './read-text.js';
import { parseYaml } from './yaml-document.js';

export const defaultControlPath = '/run/koi/koi.sock';

/**
 * The control socket that a configuration names, whatever else is wrong with it: whoever asks a running daemon has not
 * its environment, and may be about to correct the file.
 *
 * @throws KoiError 'config' or 'privilege'
 */
export function readControlPath(file: string): string {
  const { value, problems } = parseYaml(readConfigText(file));
  const control = isMap(value) ? value.control : undefined;
  if (control === undefined) {
    if (isMap(value) && problems.every(({ harmless }) => harmless)) return defaultControlPath;
    throw new KoiError('config', `${file}: as it stands it does not say where the control socket is`, {
      remedy: `correct its YAML (koi check -c ${file}), or name the socket with --socket PATH`,
    });
  }
  const { value: path, missing } = expandEnvironment(control, process.env);
  if (typeof path === 'string' && missing.length === 0) return path;
  throw new KoiError('config', `${file}: control does not name a socket here`, {
    remedy: 'name the socket with --socket PATH',
  });
}
