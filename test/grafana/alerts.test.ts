import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { stringify } from 'yaml';
import { type AlertCase, alertCases, quietCases } from './alert-cases.js';
import { alertFile, alertRules, fillIn } from './alert-rules.js';
import { type Scene, stepSeconds } from './alert-scene.js';
import { programPath, promtool } from './tools.js';

const root = fileURLToPath(new URL('../..', import.meta.url));
const rules = alertRules();
const tool = programPath('promtool');

describe('every alert', () => {
  it('has a name of its own, and is tested', () => {
    const names = rules.map(({ alert }) => alert);
    expect(new Set(names).size).toBe(names.length);
    expect(names.filter((name) => !alertCases.some(({ alert }) => alert === name))).toEqual([]);
  });

  for (const { alert, annotations } of rules) {
    it(`${alert} says what is so, what that means, and where to read on`, () => {
      expect(annotations.summary).toMatch(/^.{10,100}[^.]$/);
      expect(annotations.description).toMatch(/^.{40,400}\.$/s);
      expect(annotations.runbook_url).toBe(`docs/runbooks/${alert}.md`);
      expect(existsSync(join(root, annotations.runbook_url)), annotations.runbook_url).toBe(true);
    });
  }
});

describe.skipIf(tool === undefined)('the rules (needs promtool)', () => {
  it('are rules', () => {
    expect(promtool(tool ?? '', ['check', 'rules', alertFile])).toContain(`${rules.length} rules found`);
  });

  it('fire when they should, with their labels and texts, and nothing else fires', { timeout: 120_000 }, () => {
    check(alertCases.map(fires));
  });

  it('stay quiet through ordinary work', { timeout: 120_000 }, () => {
    check(quietCases.map(({ name, scene }) => quiet(name, scene)));
  });
});

describe('the routes for Alertmanager', () => {
  const file = join(root, 'grafana/alerts/alertmanager.yaml');
  const text = readFileSync(file, 'utf8');
  const amtool = programPath('amtool');

  it('name alerts that exist, and hold back no proof of lost or misled traffic', () => {
    const exact = [...text.matchAll(/alertname!?="(\w+)"/g)].map(([, name = '']) => name);
    const any = [...text.matchAll(/target_matchers: .*alertname=~"([\w|]+)"/g)].flatMap(([, names = '']) =>
      names.split('|'),
    );
    const known = rules.map(({ alert }) => alert);
    expect([...exact, ...any].filter((name) => !known.includes(name))).toEqual([]);
    expect(any.filter((name) => ['KoiSplitBrain', 'KoiWrongMac', 'KoiNoMaster'].includes(name))).toEqual([]);
  });

  it.skipIf(amtool === undefined)('are what Alertmanager takes (needs amtool)', () => {
    expect(promtool(amtool ?? '', ['check-config', file])).toContain('SUCCESS');
  });
});

const at = (step: number): string => `${step * stepSeconds}s`;

interface PromtoolTest {
  readonly name: string;
  readonly interval: string;
  readonly input_series: readonly object[];
  readonly promql_expr_test: readonly object[];
  readonly alert_rule_test?: readonly object[];
}

function fires({ name, scene, alert, labels, quietAt, firesAt, along = [] }: AlertCase): PromtoolTest {
  const rule = rules.find((each) => each.alert === alert);
  if (rule === undefined) throw new Error(`there is no alert ${alert}`);
  const { summary, description, runbook_url } = rule.annotations;
  return {
    name,
    interval: at(1),
    input_series: scene.inputSeries(),
    promql_expr_test: [
      { ...nameless, eval_time: at(firesAt), exp_samples: [alert, ...along].map(named) },
      {
        expr: `ALERTS{alertstate="firing",alertname="${alert}"}`,
        eval_time: at(quietAt),
        exp_samples: [],
      },
      { ...nameless, eval_time: at(5), exp_samples: [] },
    ],
    alert_rule_test: [
      {
        alertname: alert,
        eval_time: at(firesAt),
        exp_alerts: [
          {
            exp_labels: { ...labels, severity: rule.labels.severity },
            exp_annotations: {
              summary: fillIn(summary, labels),
              description: fillIn(description, labels),
              runbook_url,
            },
          },
        ],
      },
    ],
  };
}

function quiet(name: string, scene: Scene): PromtoolTest {
  const steps = Array.from({ length: scene.steps }, (_, step) => step);
  return {
    name,
    interval: at(1),
    input_series: scene.inputSeries(),
    promql_expr_test: steps.map((step) => ({ ...nameless, eval_time: at(step), exp_samples: [] })),
  };
}

const nameless = { expr: 'group by (alertname) (ALERTS{alertstate="firing"})' };
const named = (alertname: string): object => ({ labels: `{alertname="${alertname}"}`, value: 1 });

function check(tests: readonly PromtoolTest[]): void {
  const folder = mkdtempSync(join(tmpdir(), 'koi-alerts-'));
  try {
    const file = join(folder, 'test.yaml');
    const body = { rule_files: [alertFile], evaluation_interval: at(1), tests };
    writeFileSync(file, stringify(body, { aliasDuplicateObjects: false, lineWidth: 0 }));
    promtool(tool ?? '', ['test', 'rules', file]);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
