import { beforeEach, describe, expect, it } from 'vitest';
import type { Link } from '../kernel/link.js';
import type { KernelEvent } from '../kernel/monitor.js';
import { KoiError } from '../koi-error.js';
import { NeighbourHush } from './neighbour-hush.js';

const linkGone = (ifindex: number): KernelEvent => ({ type: 'linkGone', link: { ifindex } as Link });

let silenced: (readonly string[])[];
let refusal: string | undefined;
let listener: ((event: KernelEvent) => void) | undefined;
let hush: NeighbourHush;

beforeEach(() => {
  [silenced, refusal] = [[], undefined];
  hush = new NeighbourHush({
    silence: (addresses) => {
      if (refusal !== undefined) return { ok: false, reason: refusal };
      silenced.push(addresses);
      return { ok: true };
    },
    listen: (told) => {
      listener = told;
      return () => {
        listener = undefined;
      };
    },
  });
});

describe('addresses of IPv6 that nobody is told of', () => {
  it('are those of all hushed links, each once', () => {
    hush.set(7, ['fe80::1', '2001:db8::1'], true);
    hush.set(8, ['fe80::1'], true);
    hush.set(7, ['fe80::1', '2001:db8::1'], false);
    expect(silenced).toEqual([['fe80::1', '2001:db8::1'], ['fe80::1', '2001:db8::1'], ['fe80::1']]);
  });

  it('are answered for again with the end of their link', () => {
    hush.set(7, ['fe80::1'], true);
    listener?.(linkGone(8));
    listener?.(linkGone(7));
    expect(silenced).toEqual([['fe80::1'], []]);
  });

  it('cost nothing where there are none', () => {
    hush.set(7, [], true);
    hush.set(7, [], false);
    listener?.(linkGone(7));
    hush.close();
    expect(silenced).toEqual([]);
  });

  it('stay as they were where the kernel refuses', () => {
    hush.set(7, ['fe80::1'], true);
    refusal = 'the kernel has no nf_tables';
    expect(() => hush.set(8, ['fe80::2'], true)).toThrow(KoiError);
    expect(() => hush.set(7, ['fe80::1'], false)).toThrow('no nf_tables');
    refusal = undefined;
    hush.set(9, ['fe80::3'], true);
    expect(silenced.at(-1)).toEqual(['fe80::1', 'fe80::3']);
  });

  it('are answered for again where the kernel had made the rule, and its answer was lost', () => {
    let lost = true;
    const made: (readonly string[])[] = [];
    const losing = new NeighbourHush({
      silence: (addresses) => {
        made.push(addresses);
        return lost ? { ok: false, reason: 'no buffer space' } : { ok: true };
      },
      listen: () => () => undefined,
    });
    expect(() => losing.set(7, ['fe80::1'], true)).toThrow('no buffer space');
    expect(made).toEqual([['fe80::1'], []]);
    lost = false;
    losing.set(7, ['fe80::1'], false);
    losing.set(7, ['fe80::1'], false);
    losing.close();
    expect(made).toEqual([['fe80::1'], [], []]);
  });

  it('are all answered for at the end, and nothing is listened to any more', () => {
    hush.set(7, ['fe80::1'], true);
    hush.close();
    expect(silenced.at(-1)).toEqual([]);
    expect(listener).toBeUndefined();
  });
});
