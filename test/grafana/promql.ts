import type { SyntaxNode } from '@lezer/common';
import { parser } from '@prometheus-io/lezer-promql';
import { metricCatalogue } from '../../src/observe/metric-catalogue.js';

/** Labels that Prometheus adds, or that the target has. */
const targetLabels = ['cluster', 'job', 'instance', 'le'];
const known = new Map(metricCatalogue().map((metric) => [metric.name, metric]));
/** Not Koi's: Prometheus makes it of the scrape itself. */
const fromPrometheus = new Set(['up']);

/** What is wrong with an expression: it does not parse, or it asks for what Koi does not have. Empty where it is well. */
export function problemsIn(expression: string): string[] {
  const problems: string[] = [];
  const tree = parser.parse(expression);
  const text = (node: { from: number; to: number }): string => expression.slice(node.from, node.to);
  tree.iterate({
    enter: (node) => {
      if (node.type.isError)
        problems.push(`it does not parse at ${node.from}: ${expression.slice(node.from, node.from + 40)}`);
      if (node.name === 'VectorSelector') problems.push(...problemsOfSelector(node.node, text));
    },
  });
  return problems;
}

/** The metrics of an expression, as the registry names them: a histogram without its suffixes. */
export function metricsIn(expression: string): string[] {
  const names: string[] = [];
  parser.parse(expression).iterate({
    enter: (node) => {
      if (node.name !== 'VectorSelector') return;
      const name = node.node.getChild('Identifier');
      if (name !== null) names.push(registryName(expression.slice(name.from, name.to)));
    },
  });
  return names;
}

/** Grafana's own variables, as it would fill them in. */
export function withoutGrafana(expression: string, values: Readonly<Record<string, string>> = {}): string {
  const all: Readonly<Record<string, string>> = { __rate_interval: '1m', __interval: '15s', __range: '1h', ...values };
  return expression.replace(/\$(\w+)/g, (whole, name: string) => all[name] ?? whole);
}

function problemsOfSelector(selector: SyntaxNode, text: (node: SyntaxNode) => string): string[] {
  const identifier = selector.getChild('Identifier');
  if (identifier === null) return ['a selector without a metric'];
  const name = text(identifier);
  if (fromPrometheus.has(name)) return [];
  const metric = known.get(registryName(name));
  if (metric === undefined) return [`koi has no metric ${name}`];
  const isSuffixed = metric.name !== name;
  if (isSuffixed !== (metric.type === 'histogram')) return [`${name} is no series of a ${metric.type}`];
  const labels = [...metric.labels, ...targetLabels];
  const matchers = selector.getChild('LabelMatchers')?.getChildren('UnquotedLabelMatcher') ?? [];
  return matchers
    .map((matcher) => matcher.getChild('LabelName'))
    .flatMap((label) =>
      label === null || labels.includes(text(label)) ? [] : [`${name} has no label ${text(label)}`],
    );
}

function registryName(name: string): string {
  if (known.has(name)) return name;
  const bare = name.replace(/_(bucket|sum|count)$/, '');
  return known.get(bare)?.type === 'histogram' ? bare : name;
}
