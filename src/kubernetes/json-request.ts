import { request as requestHttp } from 'node:http';
import { request as requestHttps } from 'node:https';

const answerBytesMax = 64 * 1_024 * 1_024;

export interface JsonRequest {
  readonly method: 'GET' | 'DELETE';
  readonly headers?: Readonly<Record<string, string>>;
  /** In PEM: what the server's certificate has to be signed by. */
  readonly ca?: string;
  readonly body?: unknown;
  /** For the whole of it, from the connection to the last byte. */
  readonly timeoutMs: number;
}

export interface JsonAnswer {
  readonly status: number;
  /** Undefined where it is no JSON. */
  readonly body: unknown;
}

/** Asks for a JSON document over HTTP or HTTPS. Rejects with an Error that says what went wrong on the way. */
export function requestJson(url: URL, { method, headers, ca, body, timeoutMs }: JsonRequest): Promise<JsonAnswer> {
  return new Promise((resolve, reject) => {
    const ask = url.protocol === 'https:' ? requestHttps : requestHttp;
    const text = body === undefined ? undefined : JSON.stringify(body);
    // Node sends a DELETE's body without saying so, and nobody would read it.
    const framed = text !== undefined && {
      'content-type': 'application/json',
      'content-length': String(Buffer.byteLength(text)),
    };
    const options = { method, headers: { accept: 'application/json', ...framed, ...headers }, agent: false as const };
    const outgoing = ask(url, ca === undefined ? options : { ...options, ca }, (response) => {
      const chunks: Buffer[] = [];
      let bytes = 0;
      response.on('data', (chunk: Buffer) => {
        bytes += chunk.length;
        chunks.push(chunk);
        if (bytes > answerBytesMax) outgoing.destroy(new Error(`the answer has more than ${answerBytesMax} bytes`));
      });
      response.on('error', fail);
      response.on('end', () => {
        clearTimeout(deadline);
        resolve({ status: response.statusCode ?? 0, body: parse(Buffer.concat(chunks).toString('utf8')) });
      });
    });
    const deadline = setTimeout(
      () => outgoing.destroy(new Error(`no answer within ${timeoutMs / 1_000} s`)),
      timeoutMs,
    );
    const fail = (error: Error): void => {
      clearTimeout(deadline);
      reject(error);
    };
    outgoing.on('error', fail);
    outgoing.end(text);
  });
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
