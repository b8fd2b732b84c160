// Asks an address so often a second for so long, and says how it went: node scraper.mjs URL PER_SECOND SECONDS
import { Agent, get } from 'node:http';

const [url, perSecond, seconds] = process.argv.slice(2);
const agent = new Agent({ keepAlive: true, maxSockets: 8 });
const total = Number(perSecond) * Number(seconds);
const tookMs = [];
let asked = 0;
let failed = 0;
let octets = 0;

function ask() {
  const startedMs = performance.now();
  const done = (isWell) => {
    if (isWell) tookMs.push(performance.now() - startedMs);
    else failed += 1;
    if (tookMs.length + failed === total) finish();
  };
  get(url, { agent, timeout: 20_000 }, (response) => {
    response.on('data', (chunk) => {
      octets += chunk.length;
    });
    response.on('end', () => done(response.statusCode === 200));
  }).on('error', () => done(false));
}

function finish() {
  tookMs.sort((a, b) => a - b);
  const [median, worst] = [tookMs[Math.floor(tookMs.length / 2)], tookMs.at(-1)];
  process.stdout.write(`${JSON.stringify({ answered: tookMs.length, failed, octets, median, worst })}\n`);
  process.exit(0);
}

const timer = setInterval(() => {
  asked += 1;
  ask();
  if (asked === total) clearInterval(timer);
}, 1000 / Number(perSecond));
