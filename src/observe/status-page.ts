import { createHash } from 'node:crypto';

const style = `
:root { color-scheme: light dark; font: 15px/1.45 system-ui, sans-serif; }
body { margin: 2rem auto; max-width: 72rem; padding: 0 1rem; }
h1 { font-size: 1.2rem; } table { border-collapse: collapse; width: 100%; margin: 1rem 0; }
th, td { text-align: left; padding: .35rem .6rem; border-bottom: 1px solid #8884; vertical-align: top; }
th { font-weight: 600; opacity: .7; } .good { color: #1a7f37; } .bad { color: #cf222e; font-weight: 600; }
.why { opacity: .75; } #stale { display: none; } #stale.on { display: block; }
`;

// Everything is set as text, never as HTML: names come from configurations and other nodes.
const script = `
const $ = (id) => document.getElementById(id);
const cell = (text, kind) => { const td = document.createElement('td'); td.textContent = text; if (kind) td.className = kind; return td; };
const row = (...cells) => { const tr = document.createElement('tr'); tr.append(...cells); return tr; };
const ago = (at) => { if (!at) return 'never'; const s = Math.max(0, Math.round((Date.now() - Date.parse(at)) / 1000)); return s < 120 ? s + ' s' : s < 7200 ? Math.round(s / 60) + ' min' : Math.round(s / 3600) + ' h'; };
const lease = (l) => l.state === 'held' ? (l.remainingMs / 1000).toFixed(1) + ' s' : l.state === 'none' ? '-' : l.state;
const flag = (id, ok, yes, no) => { $(id).textContent = ok ? yes : no; $(id).className = ok ? 'good' : 'bad'; };
function show(s) {
  document.title = 'koi ' + s.node;
  $('title').textContent = 'koi ' + s.version + ': node ' + s.node + ' of ' + s.cluster;
  flag('dataplane', s.dataplane.up, 'dataplane up', 'dataplane DOWN');
  flag('guard', s.guard.up, 'guard up', 'guard DOWN');
  flag('log', s.log.connected, 'log connected' + (s.log.server ? ' (' + s.log.server + ')' : ''), 'log AWAY');
  $('queue').textContent = (s.log.outbox ? s.log.outbox + ' events waiting ' : '') + (s.log.lag ? s.log.lag + ' events behind' : '');
  $('vrs').replaceChildren(...s.vrs.map((v) => row(
    cell(v.name), cell(String(v.id)), cell(v.interface),
    cell(v.state, v.state === 'master' ? 'good' : v.state === 'fault' || v.state === 'fenced' ? 'bad' : ''),
    cell(ago(v.since)), cell(v.term + (v.standing === 'provisional' ? ' (provisional)' : '')), cell(String(v.priority)),
    cell(v.owner || '-'), cell(v.vips.map((p) => p.address + (p.present ? ' (here)' : '')).join(', ')), cell(v.why, 'why'))));
  $('nodes').replaceChildren(...s.nodes.map((n) => row(cell(n.name), cell(ago(n.lastSeen)), cell(n.lanAddress || '-'), cell(lease(n.lease)),
    cell(n.vrs.map((v) => v.name + ' ' + v.state + ' (' + v.priority + ')').join(', ')))));
  const warnings = [...s.warnings, ...s.vrs.flatMap((v) => v.warnings.map((w) => v.name + ': ' + w))];
  $('warnings').replaceChildren(...warnings.map((w) => { const li = document.createElement('li'); li.textContent = w; return li; }));
}
async function tick() {
  try {
    const answer = await fetch('/api/v1/status', { signal: AbortSignal.timeout(3000) });
    if (!answer.ok) throw new Error('status ' + answer.status);
    show(await answer.json());
    $('stale').className = '';
  } catch (error) { $('stale').textContent = 'No answer from koi: ' + error.message + '. What follows is old.'; $('stale').className = 'bad on'; }
  setTimeout(tick, 1000);
}
tick();
`;

/** The status page: one document, no other origin, asks `/api/v1/status` every second. */
export const statusPage = `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>koi</title><link rel="icon" href="data:,"><style>${style}</style></head>
<body><h1 id="title">koi</h1>
<p id="stale"></p>
<p><span id="dataplane"></span> · <span id="guard"></span> · <span id="log"></span> <span id="queue"></span></p>
<ul id="warnings"></ul>
<table><thead><tr><th>VR<th>id<th>interface<th>state<th>since<th>term<th>priority<th>owner<th>addresses<th>why</tr></thead><tbody id="vrs"></tbody></table>
<table><thead><tr><th>node<th>last seen<th>LAN address<th>lease<th>virtual routers</tr></thead><tbody id="nodes"></tbody></table>
<p><a href="/metrics">metrics</a> · <a href="/api/v1/status">status</a> · <a href="/api/v1/timeline">timeline</a></p>
<script>${script}</script></body></html>
`;

const hash = (text: string): string => `'sha256-${createHash('sha256').update(text).digest('base64')}'`;

/** Headers that let the page do what it does and nothing else. */
export const statusPagePolicy: Readonly<Record<string, string>> = {
  'content-security-policy': `default-src 'none'; script-src ${hash(script)}; style-src ${hash(style)}; img-src data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`,
  'referrer-policy': 'no-referrer',
};
