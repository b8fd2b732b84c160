import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { AuthHmacConfig } from '../config/config.js';
import type { KoiError } from '../koi-error.js';
import { demuxFrame } from '../wire/demux.js';
import { vrrpVirtualMac } from '../wire/mac.js';
import { buildVrrp3Ipv4Frame } from '../wire/vrrp-frame.js';
import { AdvertSignature } from './protocol-signature.js';

const key = new Uint8Array(32).map((_, index) => index);
const clock = { wallMs: 1_800_000_000_250 };

function signature(over: Partial<AuthHmacConfig> = {}, secret = key): AdvertSignature {
  const config: AuthHmacConfig = { keyFile: '', keyId: 1, mode: 'enforce', antiReplay: 'time', ...over };
  return new AdvertSignature(config, secret, 1000, () => clock.wallMs);
}

const frame = (source = '10.0.0.1'): Uint8Array =>
  buildVrrp3Ipv4Frame({
    virtualMac: vrrpVirtualMac(4, 51),
    source,
    vrid: 51,
    priority: 100,
    intervalMs: 1000,
    addresses: ['10.0.0.254'],
    checksumForm: 'pseudo-header',
    authHmac: true,
  });

function signed(by: AdvertSignature, source?: string): Uint8Array {
  const made = frame(source);
  by.sign(made);
  return made;
}

function fault(by: AdvertSignature, made: Uint8Array): string | undefined {
  const packet = demuxFrame(made);
  if (packet.kind !== 'vrrp' || !packet.advert.ok) throw new Error('not an advert');
  const message = made.subarray(packet.payloadOffset, packet.payloadOffset + packet.payloadLength);
  return by.fault(message, packet.advert.value.authHmac, packet.source);
}

beforeEach(() => {
  clock.wallMs = 1_800_000_000_250;
});

describe('a signature', () => {
  it('holds for whoever has the key, advert after advert, within one clock reading too', () => {
    const [sender, receiver] = [signature(), signature()];
    for (let count = 0; count < 5; count++) expect(fault(receiver, signed(sender))).toBeUndefined();
    clock.wallMs += 1000;
    expect(fault(receiver, signed(sender))).toBeUndefined();
  });

  it('is refused with another key, another key id, from another source, or changed', () => {
    expect(fault(signature({}, key.slice().fill(7)), signed(signature()))).toBe('bad_digest');
    expect(fault(signature({ keyId: 2 }), signed(signature()))).toBe('unknown_key');
    const moved = signed(signature());
    const packet = demuxFrame(moved);
    if (packet.kind !== 'vrrp' || !packet.advert.ok) throw new Error('not an advert');
    const message = moved.subarray(packet.payloadOffset, packet.payloadOffset + packet.payloadLength);
    expect(signature().fault(message, packet.advert.value.authHmac, '10.0.0.9')).toBe('bad_digest');
    message[2] = 200;
    expect(signature().fault(message, packet.advert.value.authHmac, '10.0.0.1')).toBe('bad_digest');
  });

  it('is refused the second time, and does not disturb another sender', () => {
    const [sender, receiver] = [signature(), signature()];
    const first = signed(sender);
    const second = signed(sender);
    expect(fault(receiver, second)).toBeUndefined();
    expect(fault(receiver, second)).toBe('replayed');
    expect(fault(receiver, first)).toBe('replayed');
    expect(fault(receiver, signed(signature(), '10.0.0.2'))).toBeUndefined();
  });

  it('is stale outside the window, unless only growth is asked for', () => {
    const old = signed(signature());
    clock.wallMs += 7000;
    expect(fault(signature(), old)).toBe('stale');
    expect(fault(signature({ antiReplay: 'monotonic' }), old)).toBeUndefined();
  });

  it('may be missing outside mode enforce', () => {
    const bare = new Uint8Array(12);
    expect(signature().fault(bare, undefined, '10.0.0.1')).toBe('missing_trailer');
    expect(signature({ mode: 'permissive' }).fault(bare, undefined, '10.0.0.1')).toBeUndefined();
    expect(signature({ mode: 'receive-only' }).fault(bare, undefined, '10.0.0.1')).toBeUndefined();
  });

  it('goes back to the clock after the clock was set back', () => {
    const [sender, receiver] = [signature(), signature()];
    expect(fault(receiver, signed(sender))).toBeUndefined();
    clock.wallMs -= 60_000;
    expect(fault(receiver, signed(sender))).toBeUndefined();
  });
});

describe('a farewell signed for later', () => {
  it('outranks what is sent until then, and is still fresh', () => {
    const [sender, receiver] = [signature(), signature()];
    const farewell = frame();
    sender.signForLater(farewell);
    clock.wallMs += sender.aheadMs - 100;
    expect(fault(receiver, signed(sender))).toBeUndefined();
    clock.wallMs += 50;
    expect(fault(receiver, farewell)).toBeUndefined();
  });
});

describe('the key file', () => {
  let directory: string;
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'koi-key-'));
  });
  afterEach(() => rmSync(directory, { recursive: true }));

  const open = (text: string): AdvertSignature => {
    const keyFile = join(directory, 'key');
    writeFileSync(keyFile, text);
    return AdvertSignature.open({ keyFile, keyId: 1, mode: 'enforce', antiReplay: 'time' }, 1000, () => clock.wallMs);
  };

  it('holds the key as it is, or in hexadecimal, with or without a line break', () => {
    const text = 'k'.repeat(32);
    const hex = `hex:${Buffer.from(text).toString('hex')}\n`;
    expect(fault(open(hex), signed(open(`${text}\n`)))).toBeUndefined();
  });

  it('is refused where keepalived would refuse it', () => {
    expect(() => open('short')).toThrow('holds a key of 5 bytes');
    const refused = ((): KoiError | undefined => {
      try {
        open(`hex:${'00'.repeat(65)}`);
      } catch (error) {
        return error as KoiError;
      }
      return undefined;
    })();
    expect(refused?.remedy).toContain('32 to 64');
  });
});
