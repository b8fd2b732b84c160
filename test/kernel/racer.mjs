// One of several threads that create a link of the same name at the same moment. Plain JavaScript over the bare addon,
// so that each thread has its own instance of it.
import { createRequire } from 'node:module';
import { workerData } from 'node:worker_threads';

const kernel = createRequire(import.meta.url)('../../build/Release/koi_kernel.node');
const { gate, wins, rounds, racer, parentIfindex, group } = workerData;
const racers = 4;

const socket = kernel.open(16, 3, 0);
const buffer = new Uint8Array(32768);
const meta = new Int32Array(4);
kernel.prepareReceive(socket, buffer, meta, buffer.length);
kernel.bindNetlink(socket, 0);
// Watched when the thread ends: the environment's cleanup has to close it.
kernel.pollStart(socket, () => undefined, false);

function attribute(type, payload) {
  const bytes = Buffer.alloc((4 + payload.length + 3) & ~3);
  bytes.writeUInt16LE(4 + payload.length, 0);
  bytes.writeUInt16LE(type, 2);
  payload.copy(bytes, 4);
  return bytes;
}
const u32 = (value) => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
};

/** RTM_NEWLINK or RTM_DELLINK; 0 or the errno, negative. */
function ask(type, flags, attributes) {
  const body = Buffer.concat([Buffer.alloc(16), ...attributes]);
  const header = Buffer.alloc(16);
  header.writeUInt32LE(16 + body.length, 0);
  header.writeUInt16LE(type, 4);
  header.writeUInt16LE(flags | 0x5, 6);
  const message = new Uint8Array(Buffer.concat([header, body]));
  kernel.sendMany(socket, message, new Uint32Array([0, message.length, 0]), 0, 1);
  if (kernel.receiveMany(socket) !== 1) throw new Error('no acknowledgement');
  return new DataView(buffer.buffer).getInt32(16, true);
}

/** Every racer waits here for the others. */
function meet(count) {
  Atomics.add(gate, 0, 1);
  while (Atomics.load(gate, 0) < count) Atomics.wait(gate, 1, 0, 0.05);
}

for (let round = 0; round < rounds; round++) {
  const name = Buffer.from(`race${round}\0`);
  meet(racers * (2 * round + 1));
  const created = ask(16, 0x600, [
    attribute(3, name),
    attribute(5, u32(parentIfindex)),
    attribute(27, u32(group)),
    attribute(1, Buffer.from([2, 0, 0, 0, racer, round])),
    attribute(18, attribute(1, Buffer.from('macvlan\0'))),
  ]);
  if (created === 0) Atomics.add(wins, round, 1);
  else if (created !== -17) throw new Error(`errno ${created}`);
  meet(racers * (2 * round + 2));
}
