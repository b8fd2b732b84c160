// 10,000 requests, sixteen at once, beside thirty clients that never end their first one. Prints how many were answered.
const http = require('node:http');
const net = require('node:net');

const address = { host: '127.0.0.1', port: 9650 };
const paths = ['/metrics', '/healthz', '/api/v1/status'];
const agent = new http.Agent({ keepAlive: true, maxSockets: 16 });
const answers = {};
const count = (what) => {
  answers[what] = (answers[what] ?? 0) + 1;
};

const ask = (path) =>
  new Promise((done) => {
    http
      .get({ ...address, path, agent }, (response) => {
        response.resume().on('end', () => done(count(response.statusCode)));
      })
      .on('error', (error) => done(count(error.code)));
  });
const client = async () => {
  for (let at = 0; at < 625; at += 1) await ask(paths[at % paths.length]);
};
const dribble = () => {
  const socket = net.connect(address, () => socket.write('GET / HTTP/1.1\r\nx: '));
  const drop = setInterval(() => socket.write('x'), 500);
  socket.on('error', () => undefined).on('close', () => clearInterval(drop));
};

for (let at = 0; at < 30; at += 1) dribble();
Promise.all(Array.from({ length: 16 }, client)).then(() => {
  process.stdout.write(JSON.stringify(answers), () => process.exit(0));
});
