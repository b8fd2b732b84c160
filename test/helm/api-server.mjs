// What helm asks of an API server where a chart looks things up: node api-server.mjs OBJECTS, the objects as JSON.
// Prints its port.
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';

const objects = JSON.parse(readFileSync(process.argv[2], 'utf8'));
const resource = (name, kind) => ({ name, kind, namespaced: true, singularName: '', verbs: ['get', 'list'] });
const answers = {
  '/version': { major: '1', minor: '34', gitVersion: 'v1.34.1' },
  '/api': { kind: 'APIVersions', versions: ['v1'] },
  '/apis': { kind: 'APIGroupList', apiVersion: 'v1', groups: [] },
  '/api/v1': {
    kind: 'APIResourceList',
    groupVersion: 'v1',
    resources: [resource('configmaps', 'ConfigMap'), resource('secrets', 'Secret')],
  },
};
for (const object of objects) {
  const { name, namespace } = object.metadata;
  answers[`/api/v1/namespaces/${namespace}/${object.kind.toLowerCase()}s/${name}`] = object;
}
const server = createServer((request, response) => {
  const answer = answers[new URL(request.url, 'http://h').pathname];
  const missing = { kind: 'Status', apiVersion: 'v1', status: 'Failure', reason: 'NotFound', code: 404 };
  response.writeHead(answer === undefined ? 404 : 200, { 'content-type': 'application/json' });
  response.end(JSON.stringify(answer ?? missing));
});
server.listen(0, '127.0.0.1', () => process.stdout.write(`${server.address().port}\n`));
