import { type ConfigPath, isMap } from './path.js';

/* Reading the file as it is, before and beside the schema. */

export type Entry = Readonly<Record<string, unknown>>;
export type Report = (path: ConfigPath, message: string, remedy: string) => void;
export type Indexed = readonly [index: number, entry: Entry];

/** The entries of a list that are maps, each with its place in the list. */
export function entries(root: Entry, key: string): Indexed[] {
  const list = root[key];
  if (!Array.isArray(list)) return [];
  return list.flatMap((item: unknown, index): Indexed[] => (isMap(item) ? [[index, item]] : []));
}

/** How a virtual router is called in a message: by its name, or by its place. */
export function titleOf(routers: readonly Indexed[], index: number): string {
  const name = routers.find(([at]) => at === index)?.[1].name;
  return typeof name === 'string' ? `'${name}'` : `virtualRouters[${index}]`;
}

export function checkSelector(selector: unknown, path: ConfigPath, fail: Report): void {
  checkOneOf('interface', ['name', 'mac', 'path', 'altname'], selector, path, fail);
}

export function checkNamespace(selector: unknown, path: ConfigPath, fail: Report): void {
  checkOneOf('namespace', ['name', 'pid', 'pidFile'], selector, path, fail);
}

function checkOneOf(what: string, keys: readonly string[], selector: unknown, path: ConfigPath, fail: Report): void {
  if (!isMap(selector)) return;
  const given = keys.filter((key) => selector[key] !== undefined);
  if (given.length === 1) return;
  fail(
    path,
    given.length === 0 ? `says nothing about which ${what}` : `says ${given.join(' and ')}`,
    `give exactly one of ${keys.join(', ')}`,
  );
}

/** The same text for the same namespace. */
export function namespaceKey(namespace: unknown): string {
  if (typeof namespace === 'string') return `name ${namespace}`;
  if (!isMap(namespace)) return '';
  const by = ['name', 'pid', 'pidFile'].find((key) => namespace[key] !== undefined);
  return by === undefined ? '' : `${by} ${String(namespace[by])}`;
}

/** The same text for the same interface; undefined where it names none. */
export function selectorKey(selector: unknown): string | undefined {
  if (typeof selector === 'string') return `name ${selector}`;
  if (!isMap(selector)) return undefined;
  for (const by of ['name', 'mac', 'path', 'altname']) {
    const value = selector[by];
    if (typeof value === 'string') return `${by} ${by === 'mac' ? value.toLowerCase() : value}`;
  }
  return undefined;
}
