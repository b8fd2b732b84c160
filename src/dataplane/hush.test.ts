import { describe, expect, it } from 'vitest';
import { parseMac, readMac } from '../wire/mac.js';
import { Hush } from './hush.js';

const macOf = (text: string) => {
  const mac = parseMac(text);
  if (!mac.ok) throw new Error(text);
  return mac.value;
};
const own = macOf('02:00:00:00:00:07');
const frame = Uint8Array.of(1, 0, 0x5e, 0, 0, 18, 0, 0, 0x5e, 0, 1, 51, 8, 0, 0x45);

function hush(refuses = false) {
  const asked: boolean[] = [];
  const failures: unknown[] = [];
  const made = new Hush({
    attachment: {
      hush: (hushed) => {
        asked.push(hushed);
        if (refuses) throw new Error('read-only');
      },
    },
    ownMac: () => own,
    onFailed: (error) => failures.push(error),
  });
  return { hush: made, asked, failures };
}

describe('an old master that lingers', () => {
  it('sends its adverts from the parent’s own MAC, and leaves prepared frames as they are', () => {
    const { hush: lingering, asked } = hush();
    const before = frame.slice();
    expect(lingering.adverts([frame])).toEqual([before]);
    lingering.set(true);
    const [sent] = lingering.adverts([frame]);
    expect(readMac(sent ?? frame, 6)).toBe(own);
    expect(sent?.subarray(12)).toEqual(before.subarray(12));
    expect(frame).toEqual(before);
    lingering.set(false);
    expect(lingering.adverts([frame])).toEqual([before]);
    expect(asked).toEqual([true, false]);
  });

  it('hushes a link that was made anew, until the addresses are off', () => {
    const { hush: lingering, asked } = hush();
    lingering.renew();
    expect(asked).toEqual([]);
    lingering.set(true);
    lingering.renew();
    lingering.ended();
    lingering.renew();
    expect(asked).toEqual([true, true]);
  });

  it('hushes the adverts also where the kernel refuses, and tells why', () => {
    const { hush: lingering, failures } = hush(true);
    lingering.set(true);
    expect(failures).toHaveLength(1);
    expect(readMac(lingering.adverts([frame])[0] ?? frame, 6)).toBe(own);
  });
});
