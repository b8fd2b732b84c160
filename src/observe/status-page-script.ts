/*
 * What the status page does in the browser. Everything is set as text, never as HTML: names come from configurations and
 * other nodes. It draws all of it anew each second, and changes only what differs, so that what one reads, has opened or
 * has the keyboard on stays where it is.
 */
export const statusPageScript = `
'use strict';
const byId = (id) => document.getElementById(id);
const shownMax = 300;
const linesAtFirst = 60;
/** So many virtual routers are open from the start, and need no search. */
const fewVrs = 8;
const state = { status: null, skewMs: 0, heardMs: 0, failed: null, entries: new Map(), timelineFailed: null, vr: '', kind: 'all', find: '', lines: linesAtFirst };

// ── drawing ─────────────────────────────────────────────────────────────────────────────────────────────────────────

function el(tag, attributes, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value !== null && value !== undefined && value !== false) node.setAttribute(name, value === true ? '' : value);
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== ''));
  return node;
}

/** Makes a node like another one, and leaves alone what is the same. Children with a data-key keep their identity. */
function morph(now, next) {
  if (now.nodeType !== next.nodeType || now.nodeName !== next.nodeName) return now.replaceWith(next);
  if (now.nodeType === Node.TEXT_NODE) {
    if (now.data !== next.data) now.data = next.data;
    return;
  }
  for (const { name } of [...now.attributes]) {
    // Whether one has opened it is the reader's to say.
    if (!next.hasAttribute(name) && !(name === 'open' && now.nodeName === 'DETAILS')) now.removeAttribute(name);
  }
  for (const { name, value } of next.attributes) {
    if (name === 'open' && now.nodeName === 'DETAILS') continue;
    if (now.getAttribute(name) !== value) now.setAttribute(name, value);
  }
  morphChildren(now, [...next.childNodes]);
}

function morphChildren(now, next) {
  const keyOf = (node) => (node.nodeType === Node.ELEMENT_NODE ? node.getAttribute('data-key') : null);
  const keyed = new Map([...now.childNodes].filter(keyOf).map((node) => [keyOf(node), node]));
  let at = now.firstChild;
  for (const wanted of next) {
    const key = keyOf(wanted);
    const known = key === null ? (at !== null && keyOf(at) === null ? at : null) : keyed.get(key);
    if (!known) {
      now.insertBefore(wanted, at);
      continue;
    }
    if (key !== null) keyed.delete(key);
    if (known === at) at = at.nextSibling;
    else now.insertBefore(known, at);
    morph(known, wanted);
  }
  while (at !== null) {
    const after = at.nextSibling;
    at.remove();
    at = after;
  }
}

const draw = (id, ...children) => morphChildren(byId(id), [...el('div', null, ...children).childNodes]);

// ── words ───────────────────────────────────────────────────────────────────────────────────────────────────────────

const nowMs = () => Date.now() + state.skewMs;
const plural = (count, one, many) => count + ' ' + (count === 1 ? one : many || one + 's');

function span(ms) {
  const s = Math.max(0, Math.round(ms / 1000));
  if (s < 60) return s + ' s';
  if (s < 3600) return Math.floor(s / 60) + ' min' + (s < 600 && s % 60 ? ' ' + (s % 60) + ' s' : '');
  if (s < 86400) return Math.floor(s / 3600) + ' h' + (s % 3600 >= 60 ? ' ' + Math.floor((s % 3600) / 60) + ' min' : '');
  return plural(Math.floor(s / 86400), 'day');
}

const exact = (at) => new Date(at).toLocaleString(undefined, { dateStyle: 'medium', timeStyle: 'medium' });
const since = (at, before) => at === null ? null : el('time', { datetime: at, title: exact(at) }, (before || '') + span(nowMs() - Date.parse(at)));
const chip = (text, kind) => el('span', { class: 'chip' + (kind ? ' ' + kind : '') }, text);
const cell = (label, kind, ...children) => el('td', { 'data-label': label, class: kind || null }, ...children);
const stateKind = (name) => ({ master: 'good', draining: 'warn', candidate: 'warn', fault: 'bad', fenced: 'bad', stopped: 'warn', unknown: 'warn' })[name] || '';
const joined = (parts) => parts.flatMap((part, at) => (at === 0 ? [part] : [' · ', part]));

// ── what is wrong ───────────────────────────────────────────────────────────────────────────────────────────────────

const grave = new Set(['split_brain', 'wrong_mac', 'virtual_mac_leak', 'duplicate_id']);

/** Worst first: { level, title, detail, since, evidence, remedy }. */
function problems(s) {
  const found = [];
  const add = (level, key, title, more) => found.push({ level, key, title, ...more });
  if (!s.dataplane.up) add('bad', 'dataplane', 'The dataplane of this node does not run', { detail: 'It serves nothing and can take nothing over.', remedy: 'Its own log says why; koi check -c ' + s.configFile });
  else if (!s.guard.up) add('warn', 'guard', 'Nobody guards the dataplane of this node', { detail: 'If it hangs, its addresses stay until their lifetime ends.' });
  for (const e of s.episodes) {
    add(grave.has(e.kind) ? 'bad' : 'warn', ['e', e.node, e.kind, e.vr, e.subject].join(' '), (e.vr === null ? e.node : e.vr) + ': ' + e.text, {
      detail: 'Seen by ' + e.node + (e.subject ? ', about ' + e.subject : '') + '.', since: e.since,
      evidence: e.evidence.map(({ key, value }) => key + '=' + value).join('  '), remedy: e.remedy });
  }
  for (const v of s.vrs) {
    if (v.owner === null) add('bad', 'owner ' + v.name, v.name + ': nobody is known to serve it', { detail: v.why });
    for (const n of v.nodes) {
      if (n.state === 'fault' || n.state === 'fenced') add('warn', ['fault', v.name, n.node].join(' '), v.name + ' cannot be served by ' + n.node, { detail: n.why, since: n.since });
    }
    if (v.state === 'master' && v.standing === 'provisional') add('warn', 'provisional ' + v.name, v.name + ' is held without the log\\u2019s word', { detail: v.why });
    for (const w of v.warnings) add('warn', ['w', v.name, w].join(' '), v.name + ': ' + w);
  }
  if (!s.log.connected) add('warn', 'log', 'This node cannot reach the event log', { detail: 'It decides as onLogLoss says' + (s.log.outbox ? '; ' + plural(s.log.outbox, 'event') + ' wait on disk.' : '.') });
  for (const n of s.nodes) {
    if (n.lease.state === 'expired' || n.lease.state === 'revoked') add('warn', 'lease ' + n.name, n.name + ' may be dead, or cut off from the log', { detail: 'Its lease has ' + (n.lease.state === 'revoked' ? 'been revoked.' : 'run out.'), since: n.lastSeen });
    if (n.drained !== null) add('calm', 'drained ' + n.name, n.name + ' is drained: it takes nothing over', { since: n.drained, remedy: 'koi undrain, when the work is done' });
  }
  for (const w of s.warnings) add('warn', 'w ' + w, w);
  const order = { bad: 0, warn: 1, calm: 2 };
  return found.sort((a, b) => order[a.level] - order[b.level]);
}

function verdict(s) {
  const found = problems(s);
  const count = (level) => found.filter((each) => each.level === level).length;
  const level = count('bad') ? 'bad' : count('warn') ? 'warn' : 'good';
  const counted = [count('bad') ? plural(count('bad'), 'failure') : '', count('warn') ? plural(count('warn'), 'warning') : ''].filter(Boolean).join(' and ');
  const inService = plural(s.vrs.length, 'virtual router') + ' on ' + plural(s.nodes.length, 'node');
  const headline = level === 'good' ? 'All is well: ' + inService : counted;
  return { level, found, headline };
}

function drawVerdict({ level, found, headline }) {
  const box = byId('verdict');
  box.className = 'verdict ' + level;
  draw('headline', headline);
  draw('problems', ...found.map(({ level: each, key, title, detail, since: at, evidence, remedy }) => el('li', { class: each, 'data-key': key },
    el('b', null, title), at ? [' ', el('span', { class: 'soft' }, since(at, 'for '))] : null,
    detail ? el('div', { class: 'soft' }, detail) : null,
    evidence ? el('div', { class: 'evidence' }, evidence) : null,
    remedy ? el('div', { class: 'remedy' }, '\\u2192 ' + remedy) : null)));
}

// ── virtual routers and nodes ───────────────────────────────────────────────────────────────────────────────────────

function nodeRow(n, here) {
  return el('tr', { 'data-key': n.node, class: n.node === here ? 'self' : null },
    cell(null, 'name', n.node), cell(null, 'state', chip(n.state, stateKind(n.state)), n.drained ? [' ', chip('drained', 'warn')] : null),
    cell('since', 'number', since(n.since)), cell('priority', 'number', String(n.priority)),
    cell('lease', 'number', lease(n.lease)), cell(null, null, n.why));
}

const nodeTable = (nodes, here) => el('table', null,
  el('thead', null, el('tr', null, ...['Node', 'State', 'Since', 'Priority', 'Lease', 'Why'].map((each) => el('th', { scope: 'col' }, each)))),
  el('tbody', null, ...nodes.map((n) => nodeRow(n, here))));

const lease = (l) => l.state === 'held' ? (l.remainingMs / 1000).toFixed(1) + ' s' : l.state === 'none' ? '\\u2013' : chip(l.state, 'bad');

/** What is closed is not drawn: of two hundred virtual routers one looks at few. */
function isOpen(key, initially) {
  const known = document.querySelector('details[data-key="' + CSS.escape(key) + '"]');
  return known === null ? initially : known.open;
}

function card({ name, owner, term, standing, vips, nodes, more, key, open, here }) {
  const master = nodes.find((n) => n.node === owner);
  return el('details', { class: 'card', 'data-key': key, open },
    el('summary', null,
      el('h3', null, name),
      el('span', { class: owner === null ? 'who bad' : 'who' }, owner === null ? 'nobody serves it' : owner + ' is master'),
      owner !== null && master && master.since && master.state === 'master' ? el('span', { class: 'soft' }, since(master.since, 'for ')) : null,
      el('span', { class: 'soft' }, 'term ' + term),
      standing === 'provisional' ? chip('provisional', 'warn') : null,
      el('span', { class: 'vips' }, vips)),
    isOpen(key, open) ? el('div', null, nodeTable(nodes, here), more()) : null);
}

function vrCard(v, s) {
  const facts = [
    ['Virtual router', v.protocol + ', id ' + v.id + ', on ' + v.interface],
    ['Virtual MAC', v.virtualMac || '\\u2013'],
    ['Addresses here', v.vips.map((p) => p.address + (p.present ? ' (in the kernel)' : ' (not here)')).join(', ')],
    ['Last change here', v.lastTransition ? v.lastTransition.from + ' \\u2192 ' + v.lastTransition.to + ', ' + v.lastTransition.reason + ', ' + exact(v.lastTransition.at) : 'none since it started'],
    ...v.tracks.map((t) => ['Track ' + t.name, t.level + (t.weight ? ', weight ' + t.weight : '') + (t.detail ? ': ' + t.detail : '')]),
    ...(v.configuration && v.configuration.waitingFor.length ? [['Configuration', 'waits for ' + v.configuration.waitingFor.join(', ')]] : []),
  ];
  return card({
    name: v.name, owner: v.owner, term: v.term, standing: v.standing, nodes: v.nodes, key: 'vr ' + v.name, here: s.node,
    vips: v.vips.map((p) => p.address).join(', '), open: s.vrs.length <= fewVrs || v.owner === null,
    more: () => el('dl', null, ...facts.flatMap(([term, text]) => [el('dt', null, term), el('dd', null, text)])),
  });
}

function drawRouters(s) {
  const words = (v) => [v.name, v.owner || 'nobody', v.state, ...v.vips.map((p) => p.address), ...v.nodes.map((n) => n.state)].join(' ').toLowerCase();
  const asked = state.find === '' ? s.vrs : s.vrs.filter((v) => state.find.split(' ').every((word) => words(v).includes(word)));
  byId('finder').hidden = s.vrs.length <= fewVrs;
  draw('found', state.find === '' ? '' : asked.length + ' of ' + s.vrs.length);
  draw('vrs', ...asked.map((v) => vrCard(v, s)));
  byId('elsewhere').hidden = s.elsewhere.length === 0;
  draw('others', ...s.elsewhere.map((v) => card({ ...v, standing: null, vips: '', key: 'vr ' + v.name, here: s.node, open: false, more: () => null })));
}

/** Each of few; of many how many are in which state. */
function standing(vrs) {
  if (vrs.length <= fewVrs) return vrs.map((v) => v.name + ' ' + v.state + ' (' + v.priority + ')');
  const counts = new Map();
  for (const { state: name } of vrs) counts.set(name, (counts.get(name) || 0) + 1);
  return [...counts].map(([name, count]) => count + ' ' + name);
}

function drawNodes(s) {
  const part = (text, kind) => el('li', { class: 'chip ' + kind }, text);
  draw('parts',
    part('dataplane ' + (s.dataplane.up ? 'up' : 'down'), s.dataplane.up ? 'good' : 'bad'),
    part('guard ' + (s.guard.up ? 'up' : 'down'), s.guard.up ? 'good' : 'bad'),
    part('log ' + (s.log.connected ? 'connected' + (s.log.server ? ': ' + s.log.server : '') : 'away'), s.log.connected ? 'good' : 'bad'),
    s.log.outbox ? part(plural(s.log.outbox, 'event') + ' to write', 'warn') : null,
    s.log.lag ? part(plural(s.log.lag, 'event') + ' to read', 'warn') : null);
  draw('nodes', ...s.nodes.map((n) => el('tr', { 'data-key': n.name, class: n.name === s.node ? 'self' : null },
    cell(null, 'name', n.name), cell('LAN', 'number', n.lanAddress || '\\u2013'),
    cell('last event', 'number', n.lastSeen === null ? 'never' : [since(n.lastSeen), ' ago']), cell('lease', 'number', lease(n.lease)),
    cell(null, null, n.drained === null ? null : [chip('drained', 'warn'), ' '], ...joined(standing(n.vrs))))));
}

// ── the timeline ────────────────────────────────────────────────────────────────────────────────────────────────────

const ownership = new Set(['claimed', 'released', 'handoverStarted', 'handoverReady', 'handoverFailed', 'provisionalTakeover', 'masterActive', 'transition']);
const alarming = new Set(['episodeBegan', 'fenced', 'dataplaneLost', 'logRegressed', 'eventsDropped', 'handoverFailed']);
const notable = new Set(['logLost', 'provisionalTakeover', 'linkRepaired', 'advertRefused', 'leaseEnded', 'drainChanged']);
const relieving = new Set(['claimed', 'episodeEnded', 'logRejoined']);
const entryKind = ({ type }) => (alarming.has(type) ? 'bad' : notable.has(type) ? 'warn' : relieving.has(type) ? 'good' : '');
const isAsked = ({ vr, type }) => (state.vr === '' || vr === state.vr) && (state.kind === 'all' || (state.kind === 'ownership' ? ownership.has(type) : alarming.has(type) || notable.has(type) || relieving.has(type) && type !== 'claimed'));

function entryLine(entry, isFresh) {
  const at = new Date(entry.at);
  const clock = at.toLocaleTimeString(undefined, { hour12: false }) + '.' + String(at.getMilliseconds()).padStart(3, '0');
  // The cause is told in full below; the line itself names it in short.
  const text = entry.text.split(' \\u2190 ')[0];
  const cause = entry.cause !== null && entry.cause.includes(' ') ? entry.cause : null;
  return el('li', { 'data-key': String(entry.sequence), class: isFresh ? 'fresh' : null },
    el('time', { datetime: entry.at, title: exact(entry.at) }, clock),
    el('div', null, el('span', { class: entryKind(entry) || null }, text), cause === null ? null : el('div', { class: 'cause' }, 'because ' + cause)));
}

function drawTimeline() {
  const all = [...state.entries.values()].filter(isAsked).sort((a, b) => b.sequence - a.sequence);
  const asked = all.slice(0, state.lines);
  byId('older').hidden = all.length <= state.lines;
  const lines = [];
  let day = new Date().toDateString();
  for (const entry of asked) {
    const on = new Date(entry.at).toDateString();
    if (on !== day) lines.push(el('li', { class: 'day', 'data-key': 'day ' + on }, on));
    day = on;
    lines.push(entryLine(entry, entry.isFresh));
  }
  draw('timeline', ...lines);
  const empty = state.timelineFailed !== null ? 'The timeline cannot be read now (' + state.timelineFailed + '); trying on.' : asked.length === 0 ? 'Nothing so far.' : '';
  draw('timeline-note', empty);
}

function take(entry, isFresh) {
  state.entries.set(entry.sequence, { ...entry, isFresh });
  if (state.entries.size <= 2 * shownMax) return;
  for (const key of [...state.entries.keys()].sort((a, b) => a - b).slice(0, state.entries.size - shownMax)) state.entries.delete(key);
}

function drawChoices(s) {
  const names = [...new Set([...s.vrs.map((v) => v.name), ...s.elsewhere.map((v) => v.name)])];
  draw('of', el('option', { value: '' }, 'all'), ...names.map((name) => el('option', { value: name, 'data-key': name }, name)));
}

// ── keeping up ──────────────────────────────────────────────────────────────────────────────────────────────────────

// Whoever looks again wants to know at once.
const pause = (ms) => new Promise((resolve) => {
  const go = () => { clearTimeout(timer); document.removeEventListener('visibilitychange', looked); resolve(); };
  const looked = () => { if (!document.hidden) go(); };
  const timer = setTimeout(go, ms);
  document.addEventListener('visibilitychange', looked);
});
const backOff = (failures) => Math.min(1000 * 2 ** failures, 15000);
const reason = (error) => (error.name === 'TimeoutError' || error.name === 'AbortError' ? 'no answer' : error.message === 'Failed to fetch' ? 'it cannot be reached' : error.message);

async function followStatus() {
  let failures = 0;
  for (;;) {
    try {
      const answer = await fetch('/api/v1/status', { signal: AbortSignal.timeout(5000), cache: 'no-store' });
      if (!answer.ok) throw new Error('HTTP ' + answer.status);
      state.status = await answer.json();
      state.heardMs = Date.now();
      // Times are those of the node, not of whoever reads.
      state.skewMs = Date.parse(state.status.at) - Date.now();
      state.failed = null;
      failures = 0;
    } catch (error) {
      state.failed = reason(error);
      failures += 1;
    }
    show();
    await pause(failures > 0 ? backOff(failures) : document.hidden ? 15000 : 1000);
  }
}

async function followTimeline() {
  let failures = 0;
  for (;;) {
    const giveUp = new AbortController();
    let watchdog;
    const listen = () => { clearTimeout(watchdog); watchdog = setTimeout(() => giveUp.abort(), 40000); };
    try {
      listen();
      const isFirst = state.entries.size === 0;
      const answer = await fetch('/api/v1/timeline?follow=1&limit=' + shownMax, { signal: giveUp.signal, cache: 'no-store' });
      if (!answer.ok) throw new Error('HTTP ' + answer.status);
      const openedMs = Date.now();
      state.timelineFailed = null;
      let rest = '';
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      for (;;) {
        const { done, value } = await reader.read();
        if (done) break;
        listen();
        const lines = (rest + value).split('\\n');
        rest = lines.pop();
        for (const line of lines) {
          if (line === '') continue;
          const entry = JSON.parse(line);
          if (!state.entries.has(entry.sequence)) take(entry, !(isFirst && Date.now() - openedMs < 2000));
          failures = 0;
        }
        drawTimeline();
      }
      failures += 1;
    } catch (error) {
      state.timelineFailed = reason(error);
      failures += 1;
      drawTimeline();
    } finally {
      clearTimeout(watchdog);
    }
    await pause(backOff(failures));
  }
}

function drawIcon(colour) {
  if (byId('icon').dataset.colour === colour) return;
  const canvas = el('canvas', { width: '32', height: '32' });
  const pen = canvas.getContext('2d');
  pen.fillStyle = colour;
  pen.arc(16, 16, 14, 0, 2 * Math.PI);
  pen.fill();
  byId('icon').dataset.colour = colour;
  byId('icon').href = canvas.toDataURL();
}

function show() {
  const s = state.status;
  const isAway = state.failed !== null;
  document.body.classList.toggle('stale', isAway && s !== null);
  const live = byId('live');
  live.className = isAway ? 'live away' : 'live';
  draw('live', isAway ? 'no answer from koi (' + state.failed + '); ' + (s === null ? 'trying on' : 'what follows is ' + span(Date.now() - state.heardMs) + ' old') : 'live');
  if (s === null) return;
  const told = verdict(s);
  document.title = (told.level === 'good' ? '' : told.headline + ' \\u2013 ') + s.node + ' \\u2013 koi';
  drawIcon(isAway ? '#777' : { good: '#1a7f37', warn: '#bf8700', bad: '#cf222e' }[told.level]);
  draw('title', 'koi ', el('small', null, 'node '), s.node, el('small', null, ' of ' + s.cluster));
  draw('version', 'koi ' + s.version);
  drawVerdict(told);
  drawRouters(s);
  drawNodes(s);
  drawChoices(s);
  byId('main').hidden = false;
}

byId('find').addEventListener('input', ({ target }) => { state.find = target.value.trim().toLowerCase(); show(); });
document.addEventListener('toggle', () => show(), true);
byId('older').addEventListener('click', () => { state.lines = shownMax; drawTimeline(); });
byId('of').addEventListener('change', ({ target }) => { state.vr = target.value; drawTimeline(); });
byId('kind').addEventListener('change', ({ target }) => { state.kind = target.value; drawTimeline(); });
followStatus();
followTimeline();
`;
