import { createHash } from 'node:crypto';
import { statusPageScript as script } from './status-page-script.js';
import { statusPageStyle as style } from './status-page-style.js';

/** The status page: one document that asks `/api/v1/status` and follows `/api/v1/timeline`, and nobody else. */
export const statusPage = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>koi</title>
<link id="icon" rel="icon" href="data:,">
<style>${style}</style>
</head>
<body>
<a class="skip" href="#timeline-heading">To the timeline</a>
<header>
<h1 id="title">koi</h1>
<span id="live" class="live" role="status">connecting</span>
</header>
<main id="main" hidden>
<section id="verdict" class="verdict" aria-labelledby="headline">
<p role="status"><strong id="headline"></strong></p>
<ul id="problems" class="problems"></ul>
</section>
<section aria-labelledby="vrs-heading">
<h2 id="vrs-heading">Virtual routers</h2>
<div class="tools" id="finder" hidden><label>Find <input id="find" type="search" placeholder="name, address, node or state" autocomplete="off"></label><span id="found" role="status"></span></div>
<div id="vrs"></div>
</section>
<section id="elsewhere" aria-labelledby="others-heading" hidden>
<h2 id="others-heading">Elsewhere in the cluster</h2>
<div id="others"></div>
</section>
<section aria-labelledby="nodes-heading">
<h2 id="nodes-heading">Nodes</h2>
<div class="nodes"><table><thead><tr><th scope="col">Node</th><th scope="col">LAN address</th><th scope="col">Last event</th><th scope="col">Lease</th><th scope="col">Virtual routers</th></tr></thead><tbody id="nodes"></tbody></table></div>
<ul id="parts" class="parts" aria-label="This node"></ul>
</section>
<section aria-labelledby="timeline-heading">
<h2 id="timeline-heading" tabindex="-1">Timeline</h2>
<div class="tools">
<label>Virtual router <select id="of"><option value="">all</option></select></label>
<label>Show <select id="kind"><option value="all">everything</option><option value="ownership">who became master, and why</option><option value="alarms">alarms and trouble</option></select></label>
</div>
<ol id="timeline" class="timeline" reversed></ol>
<button id="older" type="button" hidden>Show older</button>
<p id="timeline-note" class="empty"></p>
</section>
</main>
<footer><span id="version"></span> <a href="/metrics">metrics</a> <a href="/api/v1/status">status</a> <a href="/api/v1/timeline">timeline</a> <a href="/readyz">ready</a> <a href="/healthz">health</a></footer>
<noscript><p>This page needs JavaScript. Without it: koi status, or <a href="/api/v1/status">/api/v1/status</a>.</p></noscript>
<script>${script}</script>
</body>
</html>
`;

const hash = (text: string): string => `'sha256-${createHash('sha256').update(text).digest('base64')}'`;

/** Headers that let the page do what it does and nothing else. */
export const statusPagePolicy: Readonly<Record<string, string>> = {
  'content-security-policy': `default-src 'none'; script-src ${hash(script)}; style-src ${hash(style)}; img-src data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`,
  'referrer-policy': 'no-referrer',
};
