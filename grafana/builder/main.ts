import { mkdirSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { dashboards } from './all.js';
import { dashboardText } from './dashboard.js';
import { metricsPage } from './metrics-page.js';

/** Writes grafana/dashboards and docs/metrics.md anew: npm run dashboards */
const folder = fileURLToPath(new URL('../dashboards/', import.meta.url));
mkdirSync(folder, { recursive: true });
for (const [name, dashboard] of Object.entries(dashboards)) writeFileSync(`${folder}${name}`, dashboardText(dashboard));
writeFileSync(fileURLToPath(new URL('../../docs/metrics.md', import.meta.url)), metricsPage());
