import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parseConfig } from '../config/load.js';
import { mapKeepalived } from './keepalived-mapping.js';
import { type Directive, parseKeepalived } from './keepalived-parser.js';
import { renderImported } from './render.js';

function importText(text: string) {
  const parsed = parseKeepalived('/k.conf', 'high', {
    read: (path) => (path === '/k.conf' ? text : undefined),
    glob: () => [],
    resolve: (from, path) => resolve(dirname(from), path),
  });
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.problems));
  const imported = mapKeepalived(parsed.directives);
  return { directives: parsed.directives, imported, yaml: renderImported(imported, '/k.conf', 'r1') };
}

/** Those that are neither carried over nor listed, alone or with the block they stand in. */
function unaccounted(directives: readonly Directive[], { imported }: ReturnType<typeof importText>): string[] {
  return directives.flatMap((directive) => {
    const listed = imported.leftOut.some(({ place, directive: text }) => {
      return place === directive.place && text.split(' ')[0] === directive.name;
    });
    if (listed) return [];
    const inside = unaccounted(directive.block ?? [], { imported } as ReturnType<typeof importText>);
    return imported.carried.has(directive) ? inside : [directive.name, ...inside];
  });
}

const pair = `global_defs {
  vrrp_version 3
}
vrrp_sync_group G { group { gw } }
vrrp_instance gw {
  state BACKUP
  interface eth1
  use_vmac
  virtual_router_id 51
  priority 200
  advert_int 0.5
  nopreempt
  authentication { auth_type PASS
    auth_pass s3cret
  }
  unicast_src_ip 10.77.0.1
  unicast_peer { 10.77.0.2 }
  virtual_ipaddress {
    10.77.0.254/24
    10.88.0.254/24 dev eth2
  }
  strange thing
}
`;

describe('an import', () => {
  it('says the same in words of Koi', () => {
    const { yaml } = importText(pair);
    const parsed = parseConfig(yaml, { environment: {} });
    if (!parsed.ok) throw new Error(JSON.stringify(parsed.errors));
    expect(parsed.config.virtualRouters[0]).toMatchObject({
      name: 'gw',
      protocol: 'vrrp3',
      id: 51,
      priority: 200,
      advertIntervalMs: 500,
      preempt: { enabled: false },
      syncGroup: 'G',
      unicast: { source: '10.77.0.1', peers: ['10.77.0.2'] },
      addresses: [{ address: '10.77.0.254' }, { address: '10.88.0.254', interface: { value: 'eth2' } }],
    });
  });

  it('drops nothing silently, and tells no secret', () => {
    const result = importText(pair);
    expect(unaccounted(result.directives, result)).toEqual([]);
    expect(result.imported.leftOut.map(({ directive }) => directive)).toEqual([
      'state BACKUP',
      'authentication',
      'strange thing',
    ]);
    expect(JSON.stringify(result.imported.leftOut) + result.yaml).not.toContain('s3cret');
  });

  it('names a file in place of a password', () => {
    const { yaml, imported } = importText(pair.replace('vrrp_version 3', 'vrrp_version 2').replace('0.5', '1'));
    expect(yaml).toContain('vrrp2: {"auth":{"type":"pass","passwordFile":"/etc/koi/gw.pass"}}');
    expect(parseConfig(yaml, { environment: {} }).ok).toBe(true);
    expect(imported.leftOut.map(({ directive }) => directive)).toContain('auth_pass');
    expect(JSON.stringify(imported.leftOut) + yaml).not.toContain('s3cret');
  });
});

const samples = '/usr/share/doc/keepalived/samples';
describe.skipIf(!existsSync(samples))('the samples of the keepalived package', () => {
  const names = existsSync(samples) ? readdirSync(samples).filter((name) => name.startsWith('keepalived.conf')) : [];
  it.each(names)('%s: every statement is accounted for, and what there is passes the checks', (name) => {
    const result = importText(readFileSync(join(samples, name), 'utf8'));
    expect(unaccounted(result.directives, result)).toEqual([]);
    if (result.imported.routers.length === 0) return;
    const parsed = parseConfig(result.yaml, { environment: {} });
    expect(parsed.ok || parsed.errors).toBe(true);
  });
});
