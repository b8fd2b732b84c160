import { describe, expect, it } from 'vitest';
import type { KoiConfig } from '../config/config.js';
import type { Reread } from '../config/reread.js';
import type { ToAgent, ToDataplane } from '../ipc/protocol.js';
import { KoiError } from '../koi-error.js';
import { ReloadDesk } from './reload-desk.js';

const before = { node: 'before' } as unknown as KoiConfig;
const after = { node: 'after' } as unknown as KoiConfig;
const read = { config: after, changes: [], digest: 'd2' } as unknown as Reread;
type Reloaded = Extract<ToAgent, { type: 'reloaded' }>;
const answer: Omit<Reloaded, 'id'> = {
  type: 'reloaded',
  digest: 'd2',
  problem: null,
  changes: ['gw: changed'],
  warnings: [],
  vrs: [],
};

function desk(over: { readonly reread?: () => Reread; readonly isUp?: boolean } = {}) {
  const sent: ToDataplane[] = [];
  const send = (message: ToDataplane): boolean => {
    sent.push(message);
    return over.isUp ?? true;
  };
  return { sent, desk: new ReloadDesk({ file: '/k.yaml', reread: over.reread ?? (() => read) }, send) };
}

describe('the reload desk', () => {
  it('has the dataplane apply what it has read itself, and nothing else', async () => {
    const { sent, desk: own } = desk();
    const reloading = own.reload(before, [{ vr: 'gw', digests: ['d1'] }]);
    expect(sent).toEqual([{ type: 'reload', id: 1, digest: 'd2', guarded: [{ vr: 'gw', digests: ['d1'] }] }]);
    expect(own.answered({ ...answer, id: 7 })).toBe(false);
    expect(own.answered({ ...answer, id: null })).toBe(false);
    expect(own.answered({ ...answer, id: 1 })).toBe(true);
    expect(await reloading).toMatchObject({ config: after, answer: { changes: ['gw: changed'] } });
    expect(own.answered({ ...answer, id: 1 })).toBe(false);
  });

  it('asks nobody about a file that is wrong', async () => {
    const { sent, desk: own } = desk({
      reread: () => {
        throw new KoiError('config', 'wrong');
      },
    });
    await expect(own.reload(before)).rejects.toMatchObject({ code: 'config', message: 'wrong' });
    expect(sent).toEqual([]);
  });

  it('tells why it was not applied: the dataplane refused, or is away, or is busy with another', async () => {
    const refused = desk();
    const reloading = refused.desk.reload(before);
    await expect(refused.desk.reload(before)).rejects.toMatchObject({ code: 'usage' });
    refused.desk.answered({ ...answer, id: 1, problem: 'the file has changed' });
    await expect(reloading).rejects.toMatchObject({ code: 'config', message: 'the file has changed' });
    const away = desk({ isUp: false });
    await expect(away.desk.reload(before)).rejects.toMatchObject({ code: 'unreachable' });
    await expect(away.desk.reload(before)).rejects.toMatchObject({ code: 'unreachable' });
  });

  it('follows the dataplane only to what the file says', () => {
    expect(desk().desk.match(before, 'd2')).toBe(after);
    expect(desk().desk.match(before, 'd3')).toContain('is not what the dataplane runs with');
    const wrong = desk({
      reread: () => {
        throw new KoiError('config', 'wrong');
      },
    });
    expect(wrong.desk.match(before, 'd2')).toBe('/k.yaml cannot be applied: wrong');
  });
});
