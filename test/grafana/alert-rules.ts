import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parse } from 'yaml';
import { z } from 'zod';

export const alertFile = fileURLToPath(new URL('../../grafana/alerts/koi.yaml', import.meta.url));

const fileSchema = z.strictObject({
  groups: z.array(
    z.strictObject({
      name: z.string(),
      rules: z.array(
        z.strictObject({
          alert: z.string(),
          expr: z.string(),
          for: z.string().optional(),
          labels: z.strictObject({ severity: z.enum(['critical', 'warning', 'info']) }),
          annotations: z.strictObject({ summary: z.string(), description: z.string(), runbook_url: z.string() }),
        }),
      ),
    }),
  ),
});
export type AlertRule = z.infer<typeof fileSchema>['groups'][number]['rules'][number];

/** The rules as Prometheus reads them. A key that it does not know, or that is missing, throws. */
export function alertRules(): AlertRule[] {
  return fileSchema.parse(parse(readFileSync(alertFile, 'utf8'))).groups.flatMap(({ rules }) => rules);
}

/** A text of a rule with these labels filled in, as Prometheus does it. */
export function fillIn(text: string, labels: Readonly<Record<string, string>>): string {
  return text.replace(/\{\{ \$labels\.(\w+) \}\}/g, (_, label: string) => labels[label] ?? '');
}
