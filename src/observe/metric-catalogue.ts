import { Registry } from 'prom-client';
import { defineMetrics } from './metric-definitions.js';

/** A metric as dashboards, alerts and scripts may use it. */
export interface CataloguedMetric {
  readonly name: string;
  readonly type: 'counter' | 'gauge' | 'histogram';
  readonly help: string;
  readonly labels: readonly string[];
}

/** Every metric that `/metrics` can show, in the order of their definition. */
export function metricCatalogue(): CataloguedMetric[] {
  const registry = new Registry();
  defineMetrics(registry);
  return registry.getMetricsAsArray().map((metric) => {
    // prom-client keeps the kind and the labels on the metric, and declares neither.
    const { name, help, labelNames = [] } = metric as unknown as { name: string; help: string; labelNames?: string[] };
    return { name, help, labels: [...labelNames], type: kindOf(metric) };
  });
}

function kindOf(metric: object): CataloguedMetric['type'] {
  if ('inc' in metric) return 'dec' in metric ? 'gauge' : 'counter';
  return 'histogram';
}
