import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadConfig } from './load.js';
import { digestOf, rereadConfig } from './reread.js';

let file = '';
let folder = '';
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'koi-reread-'));
  file = join(folder, 'koi.yaml');
});
afterAll(() => rmSync(folder, { recursive: true }));

const text = (routers: string, top = '') => `cluster: edge
node: r1
log: {servers: [nats://n:4222]}
${top}
virtualRouters: [${routers}]
`;
const router = (rest = '') => `{name: gw, interface: absent0, id: 51, addresses: [10.77.0.254/24]${rest}}`;

const write = (routers: string, top = ''): void => writeFileSync(file, text(routers, top));

describe('a file that is read again', () => {
  it('says what is different, and nothing where only the spelling is', () => {
    write(router());
    const { config } = loadConfig(file);
    write(router(', priority: 100'), '# the same');
    expect(rereadConfig(file, config).changes).toEqual([]);
    expect(rereadConfig(file, config).digest).toBe(digestOf(config));
    write(router(', priority: 120'));
    const reread = rereadConfig(file, config);
    expect(reread.changes).toEqual(['gw: priority 100 → 120']);
    expect(reread.digest).not.toBe(digestOf(config));
  });

  it('is refused as a whole, with every reason', () => {
    write(router());
    const { config } = loadConfig(file);
    write(router(', priority: 0, colour: red'));
    expect(() => rereadConfig(file, config)).toThrow(/has 2 errors/);
    write(router(', priority: 120'), `stateDir: /elsewhere\nhttp: {listen: "127.0.0.1:1"}`);
    expect(() => rereadConfig(file, config)).toThrow(
      /koi.yaml:5: http: a reload cannot change it\n.*restart the agent[\s\S]*koi.yaml:4: stateDir: a reload cannot/,
    );
    write(router(', hooks: {postMaster: [/no/such/program]}'));
    expect(() => rereadConfig(file, config)).toThrow('hooks');
    rmSync(file);
    expect(() => rereadConfig(file, config)).toThrow(file);
  });
});
