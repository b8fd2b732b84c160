import { request } from 'node:http';

/** What `/metrics` says, asked over the control socket: values by series, as they are written. */
export async function metricsOf(socket: string): Promise<ReadonlyMap<string, number>> {
  return seriesOf(await metricsText(socket));
}

export function metricsText(socket: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const asked = request({ socketPath: socket, path: '/metrics', timeout: 10_000 }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (chunk: string) => {
        text += chunk;
      });
      response.on('end', () => resolve(text));
    });
    asked.on('error', reject);
    asked.on('timeout', () => asked.destroy(new Error('no answer from the control socket in 10 s')));
    asked.end();
  });
}

function seriesOf(text: string): Map<string, number> {
  const lines = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  return new Map(
    lines.map((line) => {
      const at = line.lastIndexOf(' ');
      return [line.slice(0, at), Number(line.slice(at + 1))];
    }),
  );
}
