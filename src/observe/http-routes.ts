import { once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { setTimeout as pause } from 'node:timers/promises';
import { KoiError, type KoiErrorCode } from '../koi-error.js';
import type { ControlActions, HttpSources, TimelineQuery } from './http-sources.js';
import type { TimelineEntry, Verdict } from './status.js';
import { statusPage, statusPagePolicy } from './status-page.js';

export const urlCharactersMax = 2_048;
const sourceTimeoutMs = 5_000;
const timelineTimeoutMs = 30_000;
const timelineEntriesMax = 10_000;
const timelineEntriesDefault = 1_000;
const bodyBytesMax = 64 * 1_024;
/** A follower that sees nothing for so long gets an empty line, so that both ends notice a dead one. */
const followHeartbeatMs = 15_000;
const readerTimeoutMs = 10_000;
/** What cannot be read at all says so within this time; a log that is only quiet must not keep its reader waiting. */
const followBeginsMs = 100;

interface Site {
  readonly sources: HttpSources;
  /** Empty on TCP, which is read-only. */
  readonly actions: ControlActions;
  /** How many may follow the timeline at a time. */
  readonly followersMax: number;
}

type Handler = (request: IncomingMessage, response: ServerResponse) => void;

/** The one handler behind TCP and the control socket. It never throws, and answers every error in JSON. */
export function createHandler({ sources, actions, followersMax }: Site): Handler {
  let followers = 0;

  const timeline = async (url: URL, response: ServerResponse): Promise<void> => {
    const query = readTimelineQuery(url.searchParams);
    if (!isFollowed(url.searchParams)) {
      sendJson(response, 200, await within(sources.timeline(query), timelineTimeoutMs, 'the timeline'));
      return;
    }
    if (followers >= followersMax) {
      throw new HttpError(503, `there are already ${followersMax} followers`, 'close one of them');
    }
    const gone = new AbortController();
    response.once('close', () => gone.abort());
    followers += 1;
    try {
      await follow(sources.followTimeline(query, gone.signal), response, gone.signal);
    } finally {
      followers -= 1;
      gone.abort();
    }
  };

  const read: Readonly<Record<string, (url: URL, response: ServerResponse) => Promise<void>>> = {
    '/': async (_url, response) => send(response, 200, 'text/html; charset=utf-8', statusPage, statusPagePolicy),
    '/metrics': async (_url, response) => {
      const text = await within(sources.metricsText(), sourceTimeoutMs, 'the metrics');
      send(response, 200, 'text/plain; version=0.0.4; charset=utf-8', text);
    },
    '/healthz': async (_url, response) =>
      sendVerdict(response, await within(sources.health(), sourceTimeoutMs, 'health')),
    '/readyz': async (_url, response) =>
      sendVerdict(response, await within(sources.ready(), sourceTimeoutMs, 'readiness')),
    '/api/v1/status': async (_url, response) =>
      sendJson(response, 200, await within(sources.status(), sourceTimeoutMs, 'the status')),
    '/api/v1/timeline': timeline,
  };

  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const target = request.url ?? '/';
    if (target.length > urlCharactersMax) throw new HttpError(414, 'the URL is too long', 'shorten the query');
    const url = parseTarget(target);
    const reader = Object.hasOwn(read, url.pathname) ? read[url.pathname] : undefined;
    const action = Object.hasOwn(actions, url.pathname) ? actions[url.pathname] : undefined;
    if (reader === undefined && action === undefined) {
      throw new HttpError(404, `there is nothing at ${url.pathname}`, `there are ${Object.keys(read).join(', ')}`);
    }
    const reads = request.method === 'GET' || request.method === 'HEAD';
    // A HEAD has no body that could go on.
    if (request.method === 'HEAD') url.searchParams.delete('follow');
    if (reader !== undefined && reads) return reader(url, response);
    if (action !== undefined && request.method === 'POST') {
      return sendJson(response, 200, (await action(await readJsonBody(request))) ?? {});
    }
    response.setHeader('allow', [
      ...(reader === undefined ? [] : ['GET', 'HEAD']),
      ...(action === undefined ? [] : ['POST']),
    ]);
    throw new HttpError(405, `${request.method ?? ''} is not possible at ${url.pathname}`, 'see the header Allow');
  };

  return (request, response) => {
    answer(request, response).catch((error: unknown) => refuse(request, response, error));
  };
}

class HttpError extends Error {
  readonly statusCode: number;
  readonly remedy: string;

  constructor(statusCode: number, message: string, remedy: string) {
    super(message);
    this.statusCode = statusCode;
    this.remedy = remedy;
  }
}

const statusOfCode: Readonly<Partial<Record<KoiErrorCode, number>>> = {
  usage: 400,
  config: 400,
  privilege: 403,
  protocol: 409,
  unreachable: 503,
  log: 503,
  timeout: 504,
};

function refuse(request: IncomingMessage, response: ServerResponse, error: unknown): void {
  if (response.headersSent || response.destroyed) {
    response.destroy();
    return;
  }
  // A body that was not read would be taken for the next request.
  if (!request.complete) response.setHeader('connection', 'close');
  if (error instanceof HttpError) {
    sendJson(response, error.statusCode, { error: { code: 'usage', message: error.message, remedy: error.remedy } });
  } else if (error instanceof KoiError) {
    const { code, message, remedy } = error;
    sendJson(response, statusOfCode[code] ?? 500, { error: { code, message, remedy } });
  } else {
    const message = error instanceof Error ? error.message : String(error);
    sendJson(response, 500, { error: { code: 'internal', message } });
  }
}

function parseTarget(target: string): URL {
  try {
    return new URL(target, 'http://koi.invalid');
  } catch {
    throw new HttpError(400, 'the URL cannot be read', 'ask for a path such as /api/v1/status');
  }
}

function readTimelineQuery(parameters: URLSearchParams): TimelineQuery {
  const since = parameters.get('since');
  const limit = parameters.get('limit');
  const sinceMs = since === null ? undefined : /^\d{1,15}$/.test(since) ? Number(since) : Date.parse(since);
  if (Number.isNaN(sinceMs)) {
    throw new HttpError(400, `since: '${since}' is not a time`, 'write RFC 3339 or Unix milliseconds');
  }
  if (limit !== null && !(/^\d{1,6}$/.test(limit) && Number(limit) >= 1 && Number(limit) <= timelineEntriesMax)) {
    throw new HttpError(400, `limit: '${limit}' is not possible`, `write a number from 1 to ${timelineEntriesMax}`);
  }
  return {
    vr: parameters.get('vr') ?? undefined,
    sinceMs,
    limit: limit === null ? timelineEntriesDefault : Number(limit),
  };
}

function isFollowed(parameters: URLSearchParams): boolean {
  const follow = parameters.get('follow');
  if (follow !== null && follow !== '0' && follow !== '1') {
    throw new HttpError(400, `follow: '${follow}' is not possible`, 'write follow=1');
  }
  return follow === '1';
}

async function follow(
  entries: AsyncGenerator<TimelineEntry>,
  response: ServerResponse,
  signal: AbortSignal,
): Promise<void> {
  let next = entries.next();
  await Promise.race([next, pause(followBeginsMs)]);
  response.writeHead(200, { 'content-type': 'application/x-ndjson', 'cache-control': 'no-store', ...safety });
  response.flushHeaders();
  const heartbeat = setInterval(() => response.write('\n'), followHeartbeatMs);
  try {
    for (;;) {
      const { done, value } = await next;
      if (done === true) break;
      if (signal.aborted) return;
      // A reader that stopped reading must not make the log pile up here.
      if (!response.write(`${JSON.stringify(value)}\n`)) {
        await once(response, 'drain', { signal: AbortSignal.any([signal, AbortSignal.timeout(readerTimeoutMs)]) });
      }
      next = entries.next();
    }
    response.end();
  } finally {
    clearInterval(heartbeat);
    await entries.return(undefined);
  }
}

async function readJsonBody(request: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > bodyBytesMax) throw new HttpError(413, 'the body is too large', `send at most ${bodyBytesMax} bytes`);
    chunks.push(chunk);
  }
  if (bytes === 0) return {};
  try {
    return JSON.parse(Buffer.concat(chunks).toString('utf8'));
  } catch {
    throw new HttpError(400, 'the body is not JSON', 'send a JSON document');
  }
}

async function within<T>(work: T | Promise<T>, timeoutMs: number, what: string): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const deadline = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new KoiError('timeout', `${what} took longer than ${timeoutMs} ms`)), timeoutMs);
  });
  try {
    return await Promise.race([work, deadline]);
  } finally {
    clearTimeout(timer);
  }
}

const safety = { 'x-content-type-options': 'nosniff' };

function sendVerdict(response: ServerResponse, verdict: Verdict): void {
  sendJson(response, verdict.ok ? 200 : 503, verdict);
}

function sendJson(response: ServerResponse, statusCode: number, body: unknown): void {
  send(response, statusCode, 'application/json; charset=utf-8', `${JSON.stringify(body)}\n`);
}

function send(
  response: ServerResponse,
  statusCode: number,
  contentType: string,
  body: string,
  extra: Readonly<Record<string, string>> = {},
): void {
  response.writeHead(statusCode, {
    'content-type': contentType,
    'content-length': Buffer.byteLength(body),
    'cache-control': 'no-store',
    ...safety,
    ...extra,
  });
  // Node leaves the body out where the method is HEAD.
  response.end(body);
}
