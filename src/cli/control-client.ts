import { type IncomingMessage, request } from 'node:http';
import { createInterface } from 'node:readline';
import { KoiError, type KoiErrorCode } from '../koi-error.js';

const codes: readonly KoiErrorCode[] = [
  'usage',
  'config',
  'privilege',
  'unreachable',
  'kernel',
  'attach',
  'log',
  'protocol',
  'timeout',
  'internal',
];
const answerTimeoutMs = 5_000;
const answerBytesMax = 64 * 1_024 * 1_024;

/** Speaks HTTP with the local daemon over its control socket. */
export class ControlClient {
  readonly #socketPath: string;

  constructor(socketPath: string) {
    this.#socketPath = socketPath;
  }

  /**
   * Asks for a JSON document. The caller states its type; the daemon is of the same release.
   *
   * @param path with the query, `/api/v1/status`
   * @throws KoiError 'unreachable' (also where no answer comes in time), 'privilege', or what the daemon answered
   */
  async get<T>(path: string, timeoutMs = answerTimeoutMs): Promise<T> {
    const response = await this.#open('GET', path, undefined, timeoutMs);
    return (await readJson(response, path)) as T;
  }

  /** Sends a JSON document to a route that changes something; otherwise as `get`. */
  async post<T>(path: string, body: unknown, timeoutMs = answerTimeoutMs): Promise<T> {
    const response = await this.#open('POST', path, JSON.stringify(body), timeoutMs);
    return (await readJson(response, path)) as T;
  }

  /**
   * Asks for lines of JSON that go on until the daemon or the caller ends them. Only the beginning of the answer has a
   * deadline: a quiet log is no failure, and the daemon sends empty lines to show that it lives.
   *
   * @throws KoiError 'unreachable' also where the daemon goes away in the middle
   */
  async *follow<T>(path: string, quietTimeoutMs = 60_000): AsyncGenerator<T> {
    const response = await this.#open('GET', path, undefined, answerTimeoutMs);
    if (response.statusCode !== 200) await readJson(response, path);
    response.setTimeout(quietTimeoutMs, () => response.destroy(new Error('the daemon fell silent')));
    const lines = createInterface({ input: response, crlfDelay: Number.POSITIVE_INFINITY });
    try {
      for await (const line of untilBroken(lines)) {
        if (line !== '') yield parseJson(line, path) as T;
      }
    } finally {
      response.destroy();
    }
    if (!response.complete) {
      throw new KoiError('unreachable', `the daemon at ${this.#socketPath} ended the answer to ${path}`, {
        remedy: 'was it stopped? Ask again when it runs',
      });
    }
  }

  #open(method: string, path: string, body: string | undefined, timeoutMs: number): Promise<IncomingMessage> {
    return new Promise((resolve, reject) => {
      const headers =
        body === undefined ? {} : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) };
      const outgoing = request({ socketPath: this.#socketPath, method, path, headers, agent: false }, (response) => {
        clearTimeout(deadline);
        resolve(response);
      });
      const deadline = setTimeout(() => {
        outgoing.destroy();
        reject(
          new KoiError(
            'unreachable',
            `the daemon at ${this.#socketPath} did not answer ${path} within ${timeoutMs} ms`,
            {
              remedy: 'see its log; `koi status` asks it again',
            },
          ),
        );
      }, timeoutMs);
      outgoing.on('error', (error: NodeJS.ErrnoException) => {
        clearTimeout(deadline);
        reject(this.#explain(error));
      });
      outgoing.end(body);
    });
  }

  #explain(error: NodeJS.ErrnoException): KoiError {
    const socket = this.#socketPath;
    const remedy = 'is koi running? Start it with `koi run -c FILE`, or name its socket with -c FILE or --socket PATH';
    switch (error.code) {
      case 'EACCES':
      case 'EPERM':
        return new KoiError('privilege', `no permission to use the control socket ${socket}`, {
          remedy: "run this as root, or as a member of the socket's group",
          cause: error,
        });
      case 'ENOENT':
        return new KoiError('unreachable', `there is no control socket ${socket}`, { remedy, cause: error });
      case 'ECONNREFUSED':
        return new KoiError('unreachable', `nobody listens on the control socket ${socket}`, { remedy, cause: error });
      case 'ENOTSOCK':
        return new KoiError('unreachable', `${socket} is not a socket`, { remedy, cause: error });
      default:
        return new KoiError('unreachable', `cannot talk to the daemon at ${socket}: ${error.message}`, {
          remedy,
          cause: error,
        });
    }
  }
}

/** Lines up to the end or up to where the connection broke; which of the two it was, the response knows. */
async function* untilBroken(lines: AsyncIterable<string>): AsyncGenerator<string> {
  const reading = lines[Symbol.asyncIterator]();
  for (;;) {
    const next = await reading.next().catch(() => undefined);
    if (next === undefined || next.done === true) return;
    yield next.value;
  }
}

async function readJson(response: IncomingMessage, path: string): Promise<unknown> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  response.setTimeout(answerTimeoutMs, () => response.destroy(new Error('the answer stopped in the middle')));
  try {
    for await (const chunk of response as AsyncIterable<Buffer>) {
      bytes += chunk.length;
      if (bytes > answerBytesMax) throw new Error('the answer is too large');
      chunks.push(chunk);
    }
  } catch (cause) {
    throw new KoiError('unreachable', `the daemon broke off its answer to ${path}: ${String(cause)}`, { cause });
  }
  const body = parseJson(Buffer.concat(chunks).toString('utf8'), path);
  if (response.statusCode === 200) return body;
  throw refusal(response.statusCode ?? 0, body, path);
}

function parseJson(text: string, path: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new KoiError('protocol', `the answer to ${path} is not JSON`, {
      remedy: 'is the socket that of a koi daemon of this version?',
      cause,
    });
  }
}

function refusal(statusCode: number, body: unknown, path: string): KoiError {
  const { error } = (body ?? {}) as { error?: { code?: KoiErrorCode; message?: string; remedy?: string } };
  const remedy = error?.remedy;
  return new KoiError(
    codes.find((code) => code === error?.code) ?? 'protocol',
    error?.message ?? `the daemon answered ${path} with ${statusCode}`,
    {
      ...(remedy === undefined ? {} : { remedy }),
    },
  );
}
