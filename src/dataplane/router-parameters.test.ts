import { describe, expect, it } from 'vitest';
import { parseConfig } from '../config/load.js';
import { bootId } from '../core/identity.js';
import { routerParameters } from './router-parameters.js';

function parametersWith(line: string) {
  const virtualRouters = '[{name: gw, protocol: vrrp3, interface: eth1, id: 51, addresses: [10.77.0.254/24]}]';
  const text = `cluster: edge\nnode: r1\nlog: {servers: ["nats://127.0.0.1:4222"]}\n${line}\nvirtualRouters: ${virtualRouters}\n`;
  const read = parseConfig(text);
  const router = read.ok ? read.config.virtualRouters[0] : undefined;
  if (!read.ok || router === undefined) throw new Error(JSON.stringify(read));
  return routerParameters(read.config, bootId('b1'), router, 0);
}

describe('what a configuration asks of the machine', () => {
  it('leaves time to go on within what the operator gives to the log, however little that is', () => {
    expect(parametersWith('').arbitrationTimeoutMs).toBe(48);
    expect(parametersWith('arbitrationTimeout: 5ms').arbitrationTimeoutMs).toBe(3);
  });
});
