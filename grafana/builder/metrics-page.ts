import { metricCatalogue } from '../../src/observe/metric-catalogue.js';

/** docs/metrics.md: every metric, as the registry has it. */
export function metricsPage(): string {
  const rows = metricCatalogue().map(({ name, type, labels, help }) => {
    const named = labels.map((label) => `\`${label}\``).join(', ');
    return `| \`${name}\` | ${type} | ${named} | ${help} |`;
  });
  return `# Metrics

\`GET /metrics\` at \`http.listen\` (127.0.0.1:9650 by default), in Prometheus' text format. Every series whose labels are words of
Koi's own is there from the start, at 0, so that its first increase can be seen. No label is anything that a peer could
choose. A scrape reads what the dataplane last told the agent, at most a second ago (of 1,000 virtual routers five seconds), and enters
no loop that elects; however many scrape, the agent spends at most a tenth of its time on it.

Dashboards and alert rules made of these are in [grafana](../grafana/README.md); each alert has a [runbook](runbooks/README.md).

| metric | type | labels | what |
|---|---|---|---|
${rows.join('\n')}
`;
}
