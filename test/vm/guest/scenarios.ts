import { setTimeout as pause } from 'node:timers/promises';
import { nowMs } from '../../lab/clock.js';
import { Prober } from '../../lab/prober.js';
import { waitUntil } from '../../lab/wait.js';
import { Koi, onTheBond } from './koi.js';
import { Networkd } from './networkd.js';
import { type Finding, progress } from './report.js';
import { attempt, sh, start } from './shell.js';
import { clearBond, clientReaches, vip, Wire, wrongState } from './site.js';

type Result = Omit<Finding, 'scenario'>;

/** Emulation makes everything slower, the most so what a processor compiles as it goes. */
const servingDeadlineMs = 180_000;

const bringUp = 'ifup -a';

async function serving(what: string): Promise<number> {
  return await waitUntil(what, () => (clientReaches() ? wrongState() : 'the client gets no answer'), {
    deadlineMs: servingDeadlineMs,
    everyMs: 50,
  });
}

/** A small generator of its own: a round that failed can be run again by its number. */
function shuffled<T>(items: readonly T[], seed: number): T[] {
  let state = (seed * 2_654_435_761) >>> 0 || 1;
  const next = (): number => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    state >>>= 0;
    return state / 2 ** 32;
  };
  return items
    .map((item) => ({ item, at: next() }))
    .sort((a, b) => a.at - b.at)
    .map(({ item }) => item);
}

const ifups = ['ifup eth0', 'ifup eth1', 'ifup bond0', 'ifup bond0.100', bringUp];

type End = Awaited<ReturnType<typeof start>>;

/** Starts the commands in an order of the round's own, one soon after the other; resolves when all have ended. */
async function startShuffled(commands: readonly string[], round: number, startKoi: () => void): Promise<End[]> {
  const running: Promise<End>[] = [];
  for (const command of shuffled(commands, round)) {
    if (command === 'koi') startKoi();
    else running.push(start(command, 30_000));
    await pause((round * 7) % 30);
  }
  return Promise.all(running);
}

/**
 * Started several times at once, ifenslave now and then leaves a cable out ("Failed to enslave"), with Koi or without. It is
 * put in by hand, as an administrator would. @returns whether it had to be
 */
function mendBond(ends: readonly End[]): boolean {
  const inside = attempt('cat /sys/class/net/bond0/bonding/slaves').said;
  const missing = ['eth0', 'eth1'].filter((cable) => !inside.includes(cable));
  if (missing.length === 0 || !ends.some(({ said }) => said.includes('Failed to enslave'))) return false;
  for (const cable of missing)
    sh(`ip link set ${cable} down && ip link set ${cable} master bond0 && ip link set ${cable} up`);
  return true;
}

/**
 * Everything that configures the interface is started at once, in another order each round: each `ifup` by itself,
 * `ifup -a`, and in every fifth round Koi as well, which runs on in the others and sees its interface come.
 */
async function bootOrder([rounds = '50', first = '1']: readonly string[]): Promise<Result> {
  const wire = new Wire();
  await wire.ready();
  const problems: string[] = [];
  const times: number[] = [];
  const mended = { besideKoi: 0, alone: 0 };
  let koi: Koi | undefined;
  for (let round = Number(first); round < Number(first) + Number(rounds); round++) {
    const isColdStart = koi === undefined || round % 5 === 0;
    if (isColdStart) {
      const ended = await koi?.stop(20_000);
      if (ended !== undefined) problems.push(`round ${round}: ${ended}`);
      koi = new Koi(onTheBond);
    }
    const begun = nowMs();
    const ends = await startShuffled([...ifups, ...(isColdStart ? ['koi'] : [])], round, () => koi?.start());
    if (mendBond(ends)) mended.besideKoi += 1;
    const stuck = ends.filter(({ said }) => said.includes('still running'));
    if (stuck.length > 0) problems.push(`round ${round}: ${stuck.map(({ said }) => said).join('; ')}`);
    try {
      await serving(`round ${round}`);
      if (!isColdStart) times.push(nowMs() - begun);
      progress(`round ${round}${isColdStart ? ' (koi started with the rest)' : ''}: ${Math.round(nowMs() - begun)} ms`);
    } catch (error) {
      problems.push(
        `round ${round}: ${String(error)}\n${ends.map(({ said }) => said).join('\n')}\n${koi?.lastWords()}`,
      );
    }
    problems.push(...wire.takeProblems().map((problem) => `round ${round}: ${problem}`));
    clearBond();
    if (problems.length > 5) break;
  }
  const ended = await koi?.stop(20_000);
  if (ended !== undefined) problems.push(ended);
  if (attempt(`ip -o addr show to ${vip}`).said !== '') problems.push('the virtual IP was left behind');
  for (let round = Number(first); round < Number(first) + Number(rounds); round++) {
    if (mendBond(await startShuffled(ifups, round, () => undefined))) mended.alone += 1;
    clearBond();
  }
  const { besideKoi, alone } = mended;
  progress(`ifenslave left a cable out in ${besideKoi} rounds beside koi, in ${alone} without`);
  const figures = {
    rounds: Number(rounds),
    worstMs: Math.max(0, ...times),
    mendedBesideKoi: besideKoi,
    mendedAlone: alone,
  };
  return { problems, figures };
}

/** The bond's active cable is cut at the switch, and comes back: the virtual IP stays where it is. */
async function slaveFailover([rounds = '10']: readonly string[]): Promise<Result> {
  sh(bringUp);
  const wire = new Wire();
  await wire.ready();
  const koi = new Koi(onTheBond);
  koi.start();
  await serving('the first start');
  const prober = new Prober('koi-probe', 'client', vip);
  const outages: number[] = [];
  const problems: string[] = [];
  for (let round = 0; round < Number(rounds); round++) {
    const active = sh('cat /sys/class/net/bond0/bonding/active_slave').trim();
    const port = active === 'eth0' ? 'p0' : 'p1';
    const begun = nowMs();
    sh(`ip -n switch link set ${port} down`);
    await waitUntil(
      'the other cable',
      () =>
        sh('cat /sys/class/net/bond0/bonding/active_slave').trim() === active
          ? 'the bond still uses the cut one'
          : undefined,
      { deadlineMs: 10_000 },
    );
    await waitUntil('an answer', () => prober.answering(500), { deadlineMs: 20_000 });
    outages.push((await prober.judge(begun, nowMs())).outageMs);
    sh(`ip -n switch link set ${port} up`);
    await waitUntil(
      'the cable',
      () => (/MII Status: down/.test(sh('cat /proc/net/bonding/bond0')) ? 'a slave is down' : undefined),
      { deadlineMs: 10_000 },
    );
    const wrong = wrongState();
    if (wrong !== undefined) problems.push(`round ${round}: ${wrong}`);
    problems.push(...wire.takeProblems());
    progress(`cut ${active}: outage ${outages.at(-1)?.toFixed(0)} ms`);
  }
  const ended = await koi.stop(20_000);
  if (ended !== undefined) problems.push(ended);
  return { problems, figures: { rounds: Number(rounds), worstOutageMs: Math.max(...outages) } };
}

/** The bond is torn down under a running Koi and built again: a new interface of the same name, guards before the VIP. */
async function rebuild([rounds = '10']: readonly string[]): Promise<Result> {
  sh(bringUp);
  const wire = new Wire();
  await wire.ready();
  const koi = new Koi(onTheBond);
  koi.start();
  await serving('the first start');
  const times: number[] = [];
  const problems: string[] = [];
  for (let round = 0; round < Number(rounds); round++) {
    clearBond();
    await waitUntil(
      'the addresses to go',
      () => (attempt(`ip -o addr show to ${vip}`).said === '' ? undefined : 'still there'),
      { deadlineMs: 5_000 },
    );
    sh(bringUp);
    const begun = nowMs();
    try {
      await serving(`the rebuilt bond, round ${round}`);
      times.push(nowMs() - begun);
      progress(`rebuilt: serves after ${times.at(-1)?.toFixed(0)} ms`);
    } catch (error) {
      problems.push(`${String(error)}\n${koi.lastWords()}`);
    }
    problems.push(...wire.takeProblems());
    if (problems.length > 3) break;
  }
  const ended = await koi.stop(20_000);
  if (ended !== undefined) problems.push(ended);
  return { problems, figures: { rounds: Number(rounds), worstMs: Math.max(0, ...times) } };
}

/**
 * systemd-networkd makes the bond and the VLAN instead, with a file that takes every interface that no other one does; the
 * package's file keeps it away from Koi's links. Both start together, Koi first in every second round, and networkd is started
 * again while Koi serves: what it then does to the bond and its address costs what it costs, and Koi serves again.
 */
async function networkd([rounds = '10']: readonly string[]): Promise<Result> {
  if (!Networkd.isHere) return { problems: ['systemd-networkd is not installed'], figures: {} };
  const wire = new Wire();
  await wire.ready();
  const daemon = new Networkd();
  const problems: string[] = [];
  const times: number[] = [];
  const outages: number[] = [];
  for (let round = 1; round <= Number(rounds); round++) {
    const koi = new Koi(onTheBond);
    const begun = nowMs();
    try {
      if (round % 2 === 0) koi.start();
      daemon.start();
      if (round % 2 === 1) koi.start();
      await serving(`round ${round}`);
      times.push(nowMs() - begun);
      const link = /koi51\.\w+/.exec(sh('ip -o link show type macvlan'))?.[0] ?? '';
      const prober = new Prober('koi-probe', 'client', vip);
      await waitUntil('answers', () => prober.answering(500), { deadlineMs: 20_000 });
      const restartedMs = nowMs();
      await daemon.stop();
      daemon.start();
      const managed = (): string | undefined =>
        daemon.stateOf(link) === 'unmanaged' ? undefined : `it says ${daemon.stateOf(link)} of ${link}`;
      await waitUntil('networkd to look at the link', managed, { deadlineMs: 30_000, everyMs: 100 });
      await pause(3000);
      await serving(`round ${round}, networkd started again`);
      await waitUntil('answers', () => prober.answering(500), { deadlineMs: 20_000 });
      const { outageMs } = await prober.judge(restartedMs, nowMs());
      prober.end();
      outages.push(outageMs);
      progress(
        `round ${round}: served after ${times.at(-1)?.toFixed(0)} ms; networkd restarted, outage ${outageMs.toFixed(0)} ms (${koi.lastReasons(4)})`,
      );
    } catch (error) {
      problems.push(`round ${round}: ${String(error)}\n${koi.lastWords()}\n${daemon.lastWords()}`);
    }
    problems.push(...wire.takeProblems().map((problem) => `round ${round}: ${problem}`));
    const ended = await koi.stop(60_000);
    if (ended !== undefined) problems.push(`round ${round}: ${ended}`);
    await daemon.stop();
    clearBond();
    if (problems.length > 3) break;
  }
  const figures = { rounds: Number(rounds), worstMs: Math.max(0, ...times), worstOutageMs: Math.max(0, ...outages) };
  return { problems, figures };
}

/** A second router, and a wire that delays and loses: the backup neither takes over nor is a frame wrong. */
async function lossyWire([seconds = '40']: readonly string[]): Promise<Result> {
  sh(bringUp);
  sh(
    'ip netns add r2 && ip -n r2 link add e0 type veth peer name p2 netns switch && ip -n switch link set p2 master br0 up',
  );
  sh('ip -n r2 link set lo up && ip -n r2 link set e0 up && ip -n r2 link add link e0 name lan type vlan id 100');
  sh('ip -n r2 addr add 10.77.0.2/24 dev lan && ip -n r2 link set lan up');
  const wire = new Wire();
  await wire.ready();
  const r1 = new Koi(onTheBond);
  r1.start();
  await serving('the master');
  const r2 = new Koi({ node: 'r2', interface: 'lan', priority: 100, netns: 'r2' });
  r2.start();
  await waitUntil(
    'the backup',
    () => (attempt('ip -n r2 -o link show type macvlan').said === '' ? 'it has not started' : undefined),
    { deadlineMs: servingDeadlineMs },
  );
  for (const port of ['p0', 'p1', 'p2'])
    sh(`ip netns exec switch tc qdisc add dev ${port} root netem delay 40ms 20ms loss 2%`);
  const problems: string[] = [];
  let asked = 0;
  let answered = 0;
  let stolen = 0;
  const untilMs = nowMs() + Number(seconds) * 1000;
  while (nowMs() < untilMs) {
    asked += 1;
    if (attempt(`ip netns exec client busybox ping -c 1 -W 2 ${vip}`).ok) answered += 1;
    if (attempt(`ip -n r2 -o addr show to ${vip}`).said !== '') stolen += 1;
    await pause(200);
  }
  for (const port of ['p0', 'p1', 'p2']) sh(`ip netns exec switch tc qdisc del dev ${port} root`);
  await serving('the wire as before');
  problems.push(...wire.takeProblems());
  if (stolen > 0)
    problems.push(`in ${stolen} of ${asked} looks the backup held it too: ${r2.lastWords()}\n${r1.lastWords()}`);
  if (answered < asked * 0.8) problems.push(`only ${answered} of ${asked} pings were answered`);
  for (const koi of [r2, r1]) {
    const ended = await koi.stop(20_000);
    if (ended !== undefined) problems.push(ended);
  }
  return { problems, figures: { asked, answered } };
}

export const scenarios: Readonly<Record<string, (options: readonly string[]) => Promise<Result>>> = {
  'boot-order': bootOrder,
  'slave-failover': slaveFailover,
  rebuild,
  networkd,
  'lossy-wire': lossyWire,
};
