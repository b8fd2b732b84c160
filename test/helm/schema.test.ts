import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { parse } from 'yaml';
import { chartReadme } from '../../helm/builder/readme.js';
import { valuesSchema, valuesSchemaText } from '../../helm/builder/values.js';
import { chartFolder } from './chart.js';

it('values.schema.json is what the schema of the configuration makes it: npm run chart:schema', () => {
  expect(readFileSync(join(chartFolder, 'values.schema.json'), 'utf8')).toBe(valuesSchemaText());
});

it('README.md is what values.yaml and the schema make it: npm run chart:schema', () => {
  const [readme, schema, values] = ['README.md', 'values.schema.json', 'values.yaml'].map((name) =>
    readFileSync(join(chartFolder, name), 'utf8'),
  );
  expect(readme).toBe(chartReadme(schema ?? '', values ?? ''));
});

it('takes the defaults of values.yaml, but for what to keep alive', () => {
  const text = readFileSync(join(chartFolder, 'values.yaml'), 'utf8');
  // biome-ignore lint/suspicious/noTemplateCurlyInString: a variable of the configuration
  const defaults: unknown = parse(text.replaceAll('${KOI_HOST_IP}', '10.0.0.1'));
  const parsed = valuesSchema.safeParse(defaults);
  expect(parsed.error?.issues.map(({ path }) => path.join('.'))).toEqual(['config.virtualRouters']);
});

it('has no place for a secret in the configuration, which lies in a ConfigMap', () => {
  const { config } = valuesSchema.shape;
  const log = { servers: ['nats://h:4222'] };
  for (const secret of [{ password: 'x', user: 'koi' }, { token: 'x' }]) {
    const document = { cluster: 'k', log: { ...log, ...secret }, virtualRouters: [] };
    const paths = config.safeParse(document).error?.issues.flatMap((issue) => ('keys' in issue ? issue.keys : []));
    expect(paths).toContain(Object.keys(secret)[0]);
  }
});
