// Leads connections from a namespace to a socket of the host: node forward.mjs SOCKET ADDRESS PORT
import { connect, createServer } from 'node:net';

const [, , socket, address, port] = process.argv;
createServer((near) => {
  const far = connect(socket);
  near.pipe(far).pipe(near);
  for (const each of [near, far]) {
    each.on('error', () => {
      near.destroy();
      far.destroy();
    });
  }
}).listen(Number(port), address);
