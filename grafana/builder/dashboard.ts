import { datasource, type Panel, panelJson } from './panel.js';

export interface Variable {
  readonly name: string;
  readonly label: string;
  /** Whose values of which label there are to choose from. */
  readonly from: readonly [metric: string, label: string];
  readonly isSingle?: boolean;
}

export interface Dashboard {
  /** Never changed: links and bookmarks hold it. */
  readonly uid: string;
  readonly title: string;
  readonly description: string;
  readonly variables: readonly Variable[];
  /** What is marked in every chart over time. */
  readonly annotations: readonly Annotation[];
  readonly rows: readonly { readonly title: string; readonly panels: readonly Panel[] }[];
}

export interface Annotation {
  readonly name: string;
  readonly expr: string;
  readonly title: string;
  readonly text: string;
  readonly colour: string;
}

const columns = 24;
/** Of what 36 is for Grafana 9, every newer one can read. */
const schemaVersion = 39;

/** Which series a panel is about: the cluster, job and nodes that are chosen, and what is added. */
export function of(metric: string, ...more: readonly string[]): string {
  return `${metric}{${['cluster=~"$cluster"', 'job=~"$job"', 'instance=~"$instance"', ...more].join(', ')}}`;
}

export const clusterVariable: Variable = { name: 'cluster', label: 'Cluster', from: ['koi_build_info', 'cluster'] };
export const jobVariable: Variable = { name: 'job', label: 'Job', from: ['koi_build_info', 'job'] };
export const instanceVariable: Variable = { name: 'instance', label: 'Node', from: ['koi_build_info', 'instance'] };

/** The dashboard in Grafana's classic model, as it stands in the file. */
export function dashboardText(dashboard: Dashboard): string {
  const { uid, title, description, variables, annotations, rows } = dashboard;
  const model = {
    id: null,
    uid,
    title,
    description,
    tags: ['koi'],
    schemaVersion,
    version: 1,
    editable: false,
    graphTooltip: 1,
    refresh: '10s',
    time: { from: 'now-1h', to: 'now' },
    timezone: 'browser',
    links: [
      {
        type: 'dashboards',
        title: 'Koi',
        tags: ['koi'],
        asDropdown: true,
        includeVars: true,
        keepTime: true,
        targetBlank: false,
      },
    ],
    annotations: { list: annotations.map(annotationJson) },
    templating: {
      list: [datasourceJson, ...variables.map((variable, at) => variableJson(variable, variables.slice(0, at)))],
    },
    panels: layOut(rows),
  };
  return `${JSON.stringify(model, null, 2)}\n`;
}

const datasourceJson = {
  type: 'datasource',
  name: 'datasource',
  label: 'Data source',
  query: 'prometheus',
  hide: 0,
  includeAll: false,
  multi: false,
  refresh: 1,
  regex: '',
  options: [],
  current: {},
};

function variableJson(
  { name, label, from: [metric, labelName], isSingle = false }: Variable,
  before: readonly Variable[],
): object {
  const narrowed = before.map((each) => `${each.name}=~"$${each.name}"`).join(', ');
  const query = `label_values(${metric}${narrowed === '' ? '' : `{${narrowed}}`}, ${labelName})`;
  return {
    type: 'query',
    name,
    label,
    datasource,
    query: { query, refId: name },
    definition: query,
    hide: 0,
    includeAll: !isSingle,
    multi: !isSingle,
    // Also where the targets have no such label.
    ...(isSingle ? {} : { allValue: '.*', current: { selected: true, text: ['All'], value: ['$__all'] } }),
    // When the time range changes, so does what there is to choose from.
    refresh: 2,
    sort: 1,
    regex: '',
    options: [],
  };
}

function annotationJson({ name, expr, title, text, colour }: Annotation): object {
  return {
    name,
    datasource,
    enable: true,
    hide: false,
    iconColor: colour,
    expr,
    step: '15s',
    titleFormat: title,
    textFormat: text,
    useValueForTime: false,
  };
}

function layOut(rows: Dashboard['rows']): object[] {
  let id = 0;
  let y = 0;
  return rows.flatMap(({ title, panels }) => {
    const row = { id: ++id, type: 'row', title, collapsed: false, panels: [], gridPos: { h: 1, w: columns, x: 0, y } };
    y += 1;
    let x = 0;
    let lineHeight = 0;
    const placed = panels.map((panel) => {
      if (x + panel.width > columns) {
        y += lineHeight;
        [x, lineHeight] = [0, 0];
      }
      const json = panelJson(panel, ++id, { x, y });
      x += panel.width;
      lineHeight = Math.max(lineHeight, panel.height ?? 8);
      return json;
    });
    y += lineHeight;
    return [row, ...placed];
  });
}
