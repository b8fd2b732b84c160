// What of the API server koi asks for: node api-server.mjs FILES, which serves /readyz with FILES.key and FILES.crt.
import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';

const files = process.argv[2];
createServer({ key: readFileSync(`${files}.key`), cert: readFileSync(`${files}.crt`) }, (request, response) => {
  response.writeHead(request.url === '/readyz' ? 200 : 404).end();
}).listen(6443, '127.0.0.1');
