import { canonicalAddress, parsePrefix } from '../config/address.js';
import type { InstanceDraft } from './instance-draft.js';
import type { Directive } from './keepalived-parser.js';
import { wholeNumber } from './words.js';

interface Route {
  to?: string;
  via?: string;
  source?: string;
  table?: number;
  metric?: number;
}

const tables: Readonly<Record<string, number>> = { main: 254, default: 253, local: 255 };
const number32Max = 0xffff_ffff;

/** `virtual_routes`: each line a route in the words of `ip route`; a route that says more than Koi can is left out whole. */
export function readRoutes(draft: InstanceDraft, list: Directive): void {
  const { ledger } = draft;
  const routes = (list.block ?? []).flatMap((line): Route[] => {
    const route = readRoute(draft, [line.name, ...line.values]);
    if (typeof route !== 'string') {
      ledger.carry(line);
      return [route];
    }
    ledger.leave(line, { reason: route, remedy: 'add it in hooks.postMaster, or see routes in docs/protocols.md' });
    return [];
  });
  ledger.carry(list);
  if (routes.length > 0) draft.append('routes', routes, list);
}

/** The route, or what Koi cannot say of it. */
function readRoute(draft: InstanceDraft, words: readonly string[]): Route | string {
  const route: Route = {};
  const rest = [...words];
  const next = (): string => rest.shift() ?? '';
  while (rest.length > 0) {
    const word = next();
    switch (word) {
      case 'src':
        route.source = next();
        break;
      case 'to':
        route.to = destination(next());
        break;
      case 'via':
      case 'gw':
        route.via = next();
        break;
      case 'table': {
        const name = next();
        const table = Object.hasOwn(tables, name) ? tables[name] : wholeNumber(name, 1, number32Max);
        if (table === undefined) return `Koi knows routing tables by their numbers, and '${name}' is none`;
        route.table = table;
        break;
      }
      case 'metric':
      case 'priority':
      case 'preference': {
        const text = next();
        const metric = wholeNumber(text, 0, number32Max);
        if (metric === undefined) return `'${text}' is no metric`;
        route.metric = metric;
        break;
      }
      case 'dev': {
        const device = next();
        if (!draft.isOwnDevice(device)) return `Koi's routes go over the interface of the virtual IPs, not ${device}`;
        break;
      }
      case 'onlink':
      case 'no_track':
      case 'add':
      case 'prepend':
        break;
      default:
        if (route.to !== undefined) return `Koi's routes have no '${word}'`;
        route.to = destination(word);
    }
  }
  return faultOf(route, draft.family) ?? route;
}

function destination(text: string): string {
  if (text === 'default') return '0.0.0.0/0';
  const host = canonicalAddress(text);
  return host === undefined ? text : `${text}/${host.family === 4 ? 32 : 128}`;
}

function faultOf({ to = '', via, source }: Route, family: 4 | 6): string | undefined {
  const prefix = parsePrefix(to);
  if (prefix === undefined) return `'${to}' is no destination`;
  if (prefix.family !== family) return `the instance has no IPv${prefix.family} address whose link it could use`;
  const wrong = [via, source].find((text) => text !== undefined && canonicalAddress(text)?.family !== family);
  return wrong === undefined ? undefined : `'${wrong}' is no IPv${family} address`;
}
