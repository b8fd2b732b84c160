// Reads a file of stored events as the log would give them, folds or audits them, or looks for masters that held together,
// and prints how long that took.
//
//   node replay-worker.mjs DIST FILE fold|audit|together
//
// A process of its own, without a loader: what runs is what is shipped. Each event in the file: the length of its subject
// (u16), its subject, when it was stored (f64, milliseconds), the length of its bytes (u16), its bytes.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

const [, , dist, file, what] = process.argv;
const load = (name) => import(join(dist, `${name}.js`));
const [{ storedEvent }, { emptyLogState, fold }, { LogAudit }, { logNames }, { HeldTogetherDesk }] = await Promise.all(
  ['log/stored', 'log/projection', 'log/audit', 'log/subjects', 'agent/held-together-desk'].map(load),
);
const names = logNames('edge');
const bytes = readFileSync(file);

let broken = 0;
const audit = new LogAudit(names, {
  onFinding: ({ level }) => {
    if (level === 'broken') broken += 1;
  },
});
const desk = new HeldTogetherDesk({
  node: 'r1',
  now: () => performance.now(),
  timers: { after: () => () => undefined },
  isMaster: () => false,
  hasToldAll: () => true,
  onFound: () => {
    broken += 1;
  },
});
let state = emptyLogState;
let sequence = 0;
const beganMs = performance.now();
for (let at = 0; at < bytes.length; ) {
  const subjectEnd = at + 2 + bytes.readUInt16LE(at);
  const subject = bytes.latin1Slice(at + 2, subjectEnd);
  const storedAtMs = bytes.readDoubleLE(subjectEnd);
  const begin = subjectEnd + 10;
  const end = begin + bytes.readUInt16LE(subjectEnd + 8);
  sequence += 1;
  const stored = storedEvent(names, { sequence, subject, storedAtMs, encoded: bytes.subarray(begin, end) });
  if (what === 'fold') state = fold(state, names, stored);
  else if (what === 'audit') audit.read(stored);
  else desk.read(stored);
  at = end;
}
const tookMs = performance.now() - beganMs;
if (what === 'audit') audit.finish();
if (what === 'together') desk.look();
const { regressions, unreadable, virtualRouters } = state;
const result = { events: sequence, tookMs, regressions, unreadable, virtualRouters: virtualRouters.size, broken };
process.stdout.write(`${JSON.stringify(result)}\n`);
