/** Where a value stands in the configuration: keys of maps and places in lists. */
export type ConfigPath = readonly (string | number)[];

/** `virtualRouters[0].addresses[1]`; the empty path is the file itself and prints as ''. */
export function formatPath(path: ConfigPath): string {
  return path.reduce<string>(
    (text, part) => (typeof part === 'number' ? `${text}[${part}]` : text === '' ? part : `${text}.${part}`),
    '',
  );
}

/** The value at a path, or undefined where the path leads nowhere. */
export function valueAt(root: unknown, path: ConfigPath): unknown {
  let value = root;
  for (const part of path) {
    if (typeof part === 'number') {
      if (!Array.isArray(value)) return undefined;
      value = value[part];
    } else {
      if (!isMap(value)) return undefined;
      value = Object.hasOwn(value, part) ? value[part] : undefined;
    }
  }
  return value;
}

export function isMap(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
