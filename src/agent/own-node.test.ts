import { describe, expect, it } from 'vitest';
import { configOf, toldOf } from '../../test/agent/node.js';
import { OwnNode } from './own-node.js';

describe('this node', () => {
  it('stands where its dataplane says, or its file until that has spoken; nowhere where it cannot serve', () => {
    let isDrained = false;
    const node = new OwnNode(configOf('gw', 'dns'), () => isDrained);
    expect(node.places()).toEqual([
      { name: 'gw', priority: 200 },
      { name: 'dns', priority: 200 },
    ]);
    expect(node.tells(toldOf('gw', { priority: 150 }))).toBeUndefined();
    expect(node.tells(toldOf('dns', { state: 'fault', priority: 120 }))).toBeUndefined();
    expect([node.placeIn('gw'), node.placeIn('dns'), node.placeIn('nothing')]).toEqual([150, 0, 0]);
    expect(node.places(new Set(['gw', 'nothing']))).toEqual([{ name: 'gw', priority: 150 }]);
    isDrained = true;
    expect(node.placeIn('gw')).toBe(0);
    isDrained = false;
    node.dataplaneGone();
    expect(node.placeIn('gw')).toBe(200);
  });

  it('knows what its dataplane told before, and which run of it that is', () => {
    const node = new OwnNode(configOf('gw'), () => false);
    const [before, now] = [toldOf('gw'), toldOf('gw', { state: 'master' })];
    node.dataplaneCame('boot-7', [before]);
    expect([node.boot, node.tells(now)]).toEqual(['boot-7', before]);
    expect([...node.told.values()]).toEqual([now]);
  });

  it('knows no more of a virtual router that it does not have any more', () => {
    const node = new OwnNode(configOf('gw', 'dns'), () => false);
    node.dataplaneCame('b', [toldOf('gw'), toldOf('dns')]);
    expect(node.adopt(configOf('gw', 'new'))).toEqual(['dns']);
    expect([node.routerNames, [...node.told.keys()]]).toEqual([['gw', 'new'], ['gw']]);
  });
});
