import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { hmacSha256 } from '../../src/dataplane/hmac.js';
import { demuxFrame } from '../../src/wire/demux.js';
import { encodeLanDatagram, type LanDatagram, lanDatagramPort } from '../../src/wire/lan-datagram.js';
import { type BuiltKoi, buildKoi } from '../daemon/build.js';
import { virtualMac } from '../lab/topology.js';
import { observeFor, stallMs, waitUntil } from '../lab/wait.js';
import { natsServerBinary } from '../log/nats-server.js';
import { type Node, Site } from './site.js';

/*
 * Two masters of one cluster on one LAN: not the priority decides, but what the log knows. And what anybody else says on
 * the LAN about that changes nothing.
 */
const isRoot = process.getuid?.() === 0;
/** One advert of each side, an answer to it, and what a busy machine takes on top. */
const settledWithinMs = 1000 + stallMs;

/** When adverts of a node left it that claim mastership, in Unix milliseconds. */
const advertsOf = ({ recorder }: Node): number[] =>
  recorder.frames.flatMap(({ atSeconds, bytes }) => {
    const frame = demuxFrame(bytes);
    return frame.kind === 'vrrp' && frame.advert.ok && frame.advert.value.priority > 0 ? [atSeconds * 1000] : [];
  });

const farewellsOf = ({ recorder }: Node): number =>
  recorder.frames.filter(({ bytes }) => {
    const frame = demuxFrame(bytes);
    return frame.kind === 'vrrp' && frame.advert.ok && frame.advert.value.priority === 0;
  }).length;

interface SeenNotice {
  readonly etherSource: string;
  readonly payload: Uint8Array;
}
const noticesOf = ({ recorder }: Node): SeenNotice[] =>
  recorder.frames.flatMap(({ bytes }) => {
    const frame = demuxFrame(bytes);
    if (frame.kind !== 'notice') return [];
    const { etherSource, payloadOffset, payloadLength } = frame;
    return [{ etherSource, payload: bytes.slice(payloadOffset, payloadOffset + payloadLength) }];
  });

describe.skipIf(!isRoot || natsServerBinary === undefined)('two masters that hear each other (needs root)', () => {
  let koi: BuiltKoi;
  let site: Site;
  let logged: Node;
  let cutOff: Node;
  beforeAll(() => {
    koi = buildKoi();
  }, 120_000);
  afterAll(() => koi?.remove());

  beforeEach(async () => {
    site = await Site.begin();
    logged = await site.node(0, koi.main, { priority: 100 });
    cutOff = await site.node(1, koi.main, { priority: 200 });
  }, 60_000);
  afterEach(() => site?.close(), 60_000);

  /** The better placed one has lost the log and the LAN, and has taken over without either. */
  async function doubled(): Promise<void> {
    logged.start();
    await logged.isMaster('logged');
    cutOff.start();
    await cutOff.isBackup();
    await logged.knows(cutOff);
    await cutOff.knows(logged);
    await site.topology.silenceManagement(cutOff.router);
    await site.topology.splitLan();
    await cutOff.missesLog();
    await cutOff.isMaster('provisional');
    await logged.isMaster('logged');
  }

  /** Milliseconds from now on until `node` has sent its last advert as a master. */
  async function givesWay(node: Node): Promise<number> {
    const sinceMs = Date.now();
    await site.topology.joinLan();
    await node.isBackup();
    await waitUntil('the VIP to be off', () => (node.hasVip ? 'it is there' : undefined), { deadlineMs: 10_000 });
    return (advertsOf(node).at(-1) ?? 0) - sinceMs;
  }

  test('the one whose term is in the log stays, whatever the priorities', { timeout: 120_000 }, async () => {
    await doubled();
    const afterMs = await givesWay(cutOff);
    await cutOff.says('"from":"master"', '"reason":"log_prefers_other"');
    expect(afterMs).toBeLessThan(settledWithinMs);
    await logged.isMaster('logged');
    expect(logged.hasVip).toBe(true);
    expect(farewellsOf(logged)).toBe(0);
    // It stays so: the loser hears the winner, and neither tries again.
    const countBefore = advertsOf(cutOff).length;
    await observeFor(1500);
    expect(advertsOf(cutOff)).toHaveLength(countBefore);
    expect(noticesOf(logged).length).toBeGreaterThan(0);
    for (const { etherSource } of [...noticesOf(logged), ...noticesOf(cutOff)])
      expect(etherSource).not.toBe(virtualMac);
    process.stdout.write(
      `two masters: the provisional one's last advert ${afterMs.toFixed(0)} ms after the LAN healed; notices: ` +
        `${noticesOf(logged).length} of the logged one, ${noticesOf(cutOff).length} of the other\n`,
    );
  });

  const scope = Uint8Array.from(createHash('sha256').update('election\0gw').digest().subarray(0, 8));
  const claim: LanDatagram = {
    scope,
    protocol: 'vrrp3',
    id: 51,
    node: 'r2',
    termHeld: 1000,
    logged: true,
    highestLoggedTerm: 1000,
    counter: 0n,
  };
  const nothingHeld = { termHeld: 0, logged: false, highestLoggedTerm: 0 };
  /** Far above what r2 has counted to. */
  const later = (BigInt(Math.floor(Date.now() / 1000)) + 1_000_000n) << 32n;

  /** Sends datagrams to the advert group from the client, as anybody on the LAN can. */
  function say(...payloads: readonly Uint8Array[]): void {
    const script = `
      const socket = require('node:dgram').createSocket('udp4');
      socket.bind(() => {
        socket.setMulticastTTL(255);
        socket.setMulticastInterface('10.77.0.100');
        const rest = ${JSON.stringify(payloads.map((payload) => Buffer.from(payload).toString('hex')))};
        const next = () => {
          const hex = rest.shift();
          if (hex === undefined) return socket.close();
          socket.send(Buffer.from(hex, 'hex'), ${lanDatagramPort}, '224.0.0.18', next);
        };
        next();
      });`;
    execFileSync('ip', ['netns', 'exec', site.topology.clientNetns, process.execPath, '-e', script]);
  }

  test('forged and recorded notices change nothing; a genuine one would', { timeout: 120_000 }, async () => {
    logged.start();
    await logged.isMaster('logged');

    const wrongKey = new TextEncoder().encode('another key of sixteen or more');
    say(encodeLanDatagram({ ...claim, counter: later }, wrongKey, hmacSha256));
    await logged.says('notice_bad_digest', 'someone forges notices');
    // What r2 said once, and might have held since, is heard once.
    const said = encodeLanDatagram({ ...claim, ...nothingHeld, counter: later }, site.key, hmacSha256);
    say(said, said);
    await logged.says('notice_replayed');
    const elsewhere = { ...claim, scope: new Uint8Array(8), counter: later + 1n };
    say(encodeLanDatagram(elsewhere, site.key, hmacSha256));
    await logged.says('notice_other_scope');
    await logged.isMaster('logged');
    expect(logged.hasVip).toBe(true);
    expect(farewellsOf(logged)).toBe(0);

    say(encodeLanDatagram({ ...claim, counter: later + 1n }, site.key, hmacSha256));
    await logged.says('master → draining');
  });
});
