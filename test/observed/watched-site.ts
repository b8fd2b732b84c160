import { dirname, join } from 'node:path';
import { type BuiltKoi, buildKoi } from '../daemon/build.js';
import { alertFile } from '../grafana/alert-rules.js';
import { programPath } from '../grafana/tools.js';
import { ObservedSite } from './observed-site.js';
import { Alertmanager, hastened, Prometheus } from './prometheus.js';

export const prometheusPath = programPath('prometheus');
const alertmanagerPath = programPath('prometheus-alertmanager') ?? programPath('alertmanager');

/** Two real routers, and on the management network a real Prometheus with the alert rules, made faster. */
export interface WatchedSite {
  readonly built: BuiltKoi;
  readonly site: ObservedSite;
  readonly prometheus: Prometheus;
  /** Undefined where there is none: then nobody is told anything. */
  readonly alertmanager: Alertmanager | undefined;
  close(): Promise<void>;
}

export async function openWatchedSite(faster: Parameters<typeof hastened>[1]): Promise<WatchedSite> {
  const built = buildKoi();
  const site = new ObservedSite(built.main);
  const { watcherNetns: netns, directory } = site;
  const configFile = join(dirname(alertFile), 'alertmanager.yaml');
  const alertmanager =
    alertmanagerPath === undefined
      ? undefined
      : new Alertmanager({ program: alertmanagerPath, netns, directory, configFile });
  const prometheus = new Prometheus({
    program: prometheusPath ?? '',
    netns,
    directory,
    targets: site.topology.routers.map(({ managementAddress }) => `${managementAddress}:9650`),
    rules: hastened(alertFile, faster),
  });
  const close = async (): Promise<void> => {
    await prometheus.stop();
    await alertmanager?.stop();
    await site.close();
    built.remove();
  };
  try {
    await site.open();
    alertmanager?.start();
    await prometheus.start();
  } catch (error) {
    await close();
    throw error;
  }
  return { built, site, prometheus, alertmanager, close };
}
