import { describe, expect, it } from 'vitest';
import { parseOptions, UsageError } from './options.js';

describe('the lab’s command line', () => {
  it('has defaults for everything', () => {
    expect(parseOptions([])).toMatchObject({ runs: 3, scenarios: [], routers: 2, implementation: 'koi' });
    expect(parseOptions(['--help'])).toBe('help');
  });

  it('takes several scenarios', () => {
    expect(parseOptions(['--scenario', 'a', '--scenario', 'b', '--runs', '5'])).toMatchObject({
      scenarios: ['a', 'b'],
      runs: 5,
    });
  });

  it.each([
    [['--runs', '0'], /--runs 0/],
    [['--runs', 'many'], /--runs many/],
    [['--routers', '4'], /--routers 4/],
    [['--daemon', 'vrrpd'], /--daemon vrrpd: there is keepalived, ucarp, koi/],
    [['--nonsense'], /nonsense/],
    [['carrier-lost'], /carrier-lost/],
  ])('refuses %j by name', (args, message) => {
    expect(() => parseOptions(args)).toThrow(UsageError);
    expect(() => parseOptions(args)).toThrow(message);
  });
});
