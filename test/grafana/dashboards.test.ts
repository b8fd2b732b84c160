import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { dashboards } from '../../grafana/builder/all.js';
import { dashboardText } from '../../grafana/builder/dashboard.js';
import { metricsPage } from '../../grafana/builder/metrics-page.js';
import { metricCatalogue } from '../../src/observe/metric-catalogue.js';
import { alertRules } from './alert-rules.js';
import { metricsIn, problemsIn, withoutGrafana } from './promql.js';

const folder = fileURLToPath(new URL('../../grafana/dashboards/', import.meta.url));

const source = z.object({ type: z.literal('prometheus'), uid: z.literal(`\${datasource}`) });
const panelSchema = z.object({
  id: z.number(),
  type: z.string(),
  title: z.string().min(3),
  gridPos: z.object({ x: z.number(), y: z.number(), w: z.number(), h: z.number() }),
});
const queryPanelSchema = panelSchema.extend({
  description: z.string().min(20),
  datasource: source,
  targets: z
    .array(z.object({ refId: z.string(), expr: z.string(), datasource: source, legendFormat: z.string() }))
    .min(1),
  fieldConfig: z.object({ defaults: z.object({ unit: z.string().min(1) }) }),
});
const dashboardSchema = z.object({
  id: z.null(),
  uid: z.string().regex(/^koi-[a-z]+$/),
  title: z.string().regex(/^Koi \/ /),
  description: z.string().min(20),
  editable: z.literal(false),
  schemaVersion: z.number().min(36),
  refresh: z.string(),
  annotations: z.object({ list: z.array(z.object({ name: z.string(), datasource: source, expr: z.string() })).min(1) }),
  templating: z.object({
    list: z.array(
      z.object({
        name: z.string(),
        type: z.string(),
        query: z.unknown(),
        refresh: z.number(),
        definition: z.string().optional(),
      }),
    ),
  }),
  panels: z.array(z.looseObject({ type: z.string() })),
});

interface Shown {
  readonly file: string;
  readonly text: string;
  readonly model: z.infer<typeof dashboardSchema>;
  readonly panels: readonly z.infer<typeof queryPanelSchema>[];
}

const all: Shown[] = readdirSync(folder).map((file) => {
  const text = readFileSync(`${folder}${file}`, 'utf8');
  const model = dashboardSchema.parse(JSON.parse(text));
  const panels = model.panels.filter(({ type }) => type !== 'row').map((panel) => queryPanelSchema.parse(panel));
  return { file, text, model, panels };
});

it('the files are what the builder makes (npm run dashboards)', () => {
  expect(all.map(({ file }) => file).sort()).toEqual(Object.keys(dashboards).sort());
  for (const { file, text } of all) {
    const dashboard = dashboards[file];
    expect(dashboard !== undefined && text === dashboardText(dashboard), `${file} is up to date`).toBe(true);
  }
});

it('docs/metrics.md names every metric as it is (npm run dashboards)', () => {
  const page = readFileSync(new URL('../../docs/metrics.md', import.meta.url), 'utf8');
  expect(page === metricsPage(), 'it is up to date').toBe(true);
});

it('no two dashboards share a uid or a title', () => {
  for (const key of ['uid', 'title'] as const)
    expect(new Set(all.map(({ model }) => model[key])).size).toBe(all.length);
});

it('every metric is shown somewhere', () => {
  const shown = new Set(
    all.flatMap(({ panels }) =>
      panels.flatMap(({ targets }) => targets.flatMap(({ expr }) => metricsIn(withoutGrafana(expr)))),
    ),
  );
  expect(
    metricCatalogue()
      .map(({ name }) => name)
      .filter((name) => !shown.has(name)),
  ).toEqual([]);
});

for (const { file, text, model, panels } of all) {
  describe(file, () => {
    it('can be provisioned: no input of an export, no data source by name', () => {
      expect(text).not.toMatch(/__inputs|__requires|DS_PROMETHEUS/);
    });

    it('lets one choose the data source, and what is scraped', () => {
      const [first, ...others] = model.templating.list;
      expect([first?.name, first?.type, first?.query]).toEqual(['datasource', 'datasource', 'prometheus']);
      expect(others.map(({ name }) => name)).toEqual(expect.arrayContaining(['cluster', 'job', 'instance']));
      // 2: again when the time range changes.
      expect(others.filter(({ refresh }) => refresh !== 2)).toEqual([]);
      for (const { definition = '' } of others) {
        const selector = /^label_values\((.*), \w+\)$/.exec(definition)?.[1] ?? '';
        expect(problemsIn(selector), definition).toEqual([]);
      }
    });

    it('has panels that fit beside each other and do not overlap', () => {
      const taken = new Set<string>();
      expect(new Set(model.panels.map(({ id }) => id)).size).toBe(model.panels.length);
      for (const { title, gridPos } of model.panels.map((panel) => panelSchema.parse(panel))) {
        expect(gridPos.x + gridPos.w, title).toBeLessThanOrEqual(24);
        for (let x = gridPos.x; x < gridPos.x + gridPos.w; x += 1) {
          for (let y = gridPos.y; y < gridPos.y + gridPos.h; y += 1) {
            expect(taken.has(`${x} ${y}`), `${title} at ${x} ${y}`).toBe(false);
            taken.add(`${x} ${y}`);
          }
        }
      }
    });

    it('marks in its annotations what exists', () => {
      for (const { name, expr } of model.annotations.list) expect(problemsIn(withoutGrafana(expr)), name).toEqual([]);
    });

    for (const { title, description, targets, fieldConfig, type } of panels) {
      it(`${title}: what it asks parses, exists, and is about what is chosen`, () => {
        expect(description).toMatch(/\.$/);
        expect(fieldConfig.defaults.unit).not.toBe('');
        for (const { expr } of targets) {
          expect(problemsIn(withoutGrafana(expr)), expr).toEqual([]);
          const selectors = expr.match(/koi_\w+(\{[^}]*\})?/g) ?? [];
          for (const selector of selectors) {
            for (const variable of ['cluster', 'job', 'instance'])
              expect(selector).toContain(`${variable}=~"$${variable}"`);
          }
          // A counter is looked at by its growth, over as long as it takes to see any.
          for (const counter of expr.match(/.{0,12}koi_\w+_(total|bucket|sum|count)\{[^}]*\}(\[[^\]]*\])?/g) ?? []) {
            expect(counter).toMatch(/(rate|increase)\(koi_/);
            expect(counter).toMatch(/\[(\$__rate_interval|\$__range|\$__interval|1d)\]$/);
          }
        }
        if (type === 'table') expect(targets.length).toBeGreaterThan(0);
      });
    }
  });
}

describe('the alert rules', () => {
  for (const { alert, expr } of alertRules()) {
    it(`${alert} parses and asks for what exists`, () => {
      expect(problemsIn(expr)).toEqual([]);
    });
  }
});

describe('the check itself', () => {
  it('finds a metric, a label, a suffix and a syntax that do not exist', () => {
    expect(problemsIn('koi_made_up')).toEqual(['koi has no metric koi_made_up']);
    expect(problemsIn('koi_vr_term{vip="x"}')).toEqual(['koi_vr_term has no label vip']);
    expect(problemsIn('sum(koi_advert_lateness_seconds)')).toEqual([
      'koi_advert_lateness_seconds is no series of a histogram',
    ]);
    expect(problemsIn('sum(koi_vr_term').length).toBeGreaterThan(0);
    expect(problemsIn('max by (vr) (koi_vr_term{vr="gw"}) > 1')).toEqual([]);
  });
});
