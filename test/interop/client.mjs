// The client: tries to connect to a closed port of the virtual IP, again and again. Whoever holds the address refuses
// with a reset, which is the answer: "<CLOCK_MONOTONIC ns>" on a line for each. Works alike over IPv4 and IPv6, and
// ends with its stdin.
//
//   node client.mjs ADDRESS PERIOD_MS
import { connect } from 'node:net';

const [, , host, period] = process.argv;
const patienceMs = 200;

function attempt() {
  const socket = connect({ host, port: 9 });
  const done = () => {
    socket.destroy();
    setTimeout(attempt, Number(period));
  };
  const patience = setTimeout(done, patienceMs);
  socket.on('error', (error) => {
    if (socket.destroyed && error.code !== 'ECONNREFUSED') return;
    clearTimeout(patience);
    if (error.code === 'ECONNREFUSED') process.stdout.write(`${process.hrtime.bigint()}\n`);
    done();
  });
}

process.stdin.on('end', () => process.exit(0)).resume();
attempt();
