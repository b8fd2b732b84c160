/*
 * Grafana's classic dashboard model, as much of it as the dashboards need: what is not here is Grafana's default.
 */

/** A Grafana unit id. */
export type Unit = 'none' | 'short' | 's' | 'cps' | 'bool_on_off' | 'bool_yes_no' | 'percentunit' | 'dateTimeFromNow';
export type Colour =
  | 'green'
  | 'yellow'
  | 'orange'
  | 'red'
  | 'blue'
  | 'purple'
  | 'text'
  | 'semi-dark-blue'
  | 'dark-green';

export interface Target {
  readonly expr: string;
  /** Grafana's template: `{{instance}}`. */
  readonly legend?: string;
  /** The value now, and not its course. */
  readonly instant?: boolean;
  readonly format?: 'time_series' | 'table' | 'heatmap';
}

export interface Mapping {
  readonly value: number;
  readonly text: string;
  readonly colour: Colour;
}

interface Common {
  readonly title: string;
  /** What one sees, and what it means when it is not as usual. */
  readonly description: string;
  readonly unit: Unit;
  readonly targets: readonly Target[];
  /** Of 24 columns. */
  readonly width: number;
  readonly height?: number;
  /** From which value on a colour holds; the first one holds below all. */
  readonly thresholds?: readonly (readonly [number | null, Colour])[];
  readonly mappings?: readonly Mapping[];
  readonly min?: number;
  readonly max?: number;
  readonly decimals?: number;
}

export type Panel = Common &
  (
    | { readonly kind: 'stat'; readonly shows?: 'value' | 'name' }
    | { readonly kind: 'timeseries'; readonly stacked?: boolean; readonly steps?: boolean; readonly bars?: boolean }
    | { readonly kind: 'state-timeline' }
    | { readonly kind: 'bargauge' }
    | { readonly kind: 'heatmap' }
    | {
        readonly kind: 'table';
        /** Columns by the name of their field, in order, with their headings. */
        readonly columns: readonly (readonly [string, string])[];
        /** Where a cell of a column leads. */
        readonly link?: { readonly column: string; readonly url: string; readonly title: string };
        readonly mappedColumns?: readonly string[];
      }
  );

export const datasource = { type: 'prometheus', uid: `\${datasource}` } as const;

/** The panel in Grafana's model, at its place. */
export function panelJson(panel: Panel, id: number, place: { readonly x: number; readonly y: number }): object {
  const { title, description, unit, targets, width, height = 8, mappings = [], thresholds, min, max, decimals } = panel;
  return {
    id,
    type: panel.kind,
    title,
    description,
    datasource,
    gridPos: { h: height, w: width, ...place },
    targets: targets.map((target, index) => targetJson(target, index)),
    fieldConfig: {
      defaults: {
        unit,
        ...(min === undefined ? {} : { min }),
        ...(max === undefined ? {} : { max }),
        ...(decimals === undefined ? {} : { decimals }),
        mappings: mappings.length === 0 ? [] : [mappingJson(mappings)],
        thresholds: {
          mode: 'absolute',
          steps: (thresholds ?? [[null, plainColour(panel)]]).map(([value, color]) => ({ color, value })),
        },
        color: { mode: thresholds !== undefined || panel.kind === 'stat' ? 'thresholds' : 'palette-classic' },
        custom: customJson(panel),
      },
      overrides: panel.kind === 'table' ? tableOverrides(panel) : [],
    },
    options: optionsJson(panel),
    ...(panel.kind === 'table' ? { transformations: tableTransformations(panel.columns) } : {}),
  };
}

const plainColour = ({ kind }: Panel): Colour => (kind === 'stat' ? 'text' : 'green');

function targetJson({ expr, legend, instant = false, format = 'time_series' }: Target, index: number): object {
  return {
    refId: String.fromCharCode('A'.charCodeAt(0) + index),
    datasource,
    expr,
    legendFormat: legend ?? '__auto',
    format,
    instant,
    range: !instant,
  };
}

function mappingJson(mappings: readonly Mapping[]): object {
  const entries = mappings.map(({ value, text, colour }, index) => [String(value), { text, color: colour, index }]);
  return { type: 'value', options: Object.fromEntries(entries) };
}

function customJson(panel: Panel): object {
  switch (panel.kind) {
    case 'timeseries':
      return {
        drawStyle: panel.bars === true ? 'bars' : 'line',
        lineInterpolation: panel.steps === true ? 'stepAfter' : 'linear',
        lineWidth: 1,
        fillOpacity: panel.stacked === true || panel.bars === true ? 40 : 8,
        showPoints: 'never',
        spanNulls: false,
        stacking: { mode: panel.stacked === true ? 'normal' : 'none', group: 'A' },
        // A threshold is a line in the chart, and not the colour of the series.
        thresholdsStyle: { mode: panel.thresholds === undefined ? 'off' : 'dashed' },
      };
    case 'state-timeline':
      return { fillOpacity: 80, lineWidth: 0 };
    case 'table':
      return { align: 'auto', cellOptions: { type: 'auto' } };
    case 'stat':
    case 'bargauge':
    case 'heatmap':
      return {};
  }
}

function optionsJson(panel: Panel): object {
  const reduceOptions = { calcs: ['lastNotNull'], fields: '', values: false };
  switch (panel.kind) {
    case 'timeseries':
      return {
        legend: { displayMode: 'list', placement: 'bottom', showLegend: true },
        tooltip: { mode: 'multi', sort: 'desc' },
      };
    case 'stat':
      return {
        reduceOptions,
        textMode: panel.shows ?? 'value',
        colorMode: 'background',
        graphMode: 'none',
        justifyMode: 'center',
      };
    case 'state-timeline':
      return {
        mergeValues: true,
        showValue: 'auto',
        rowHeight: 0.8,
        legend: { displayMode: 'list', placement: 'bottom', showLegend: false },
        tooltip: { mode: 'single' },
      };
    case 'bargauge':
      return { reduceOptions, orientation: 'horizontal', displayMode: 'basic', showUnfilled: true };
    case 'heatmap':
      return {
        calculate: false,
        cellGap: 1,
        color: { mode: 'scheme', scheme: 'Blues', steps: 64, exponent: 0.5, fill: 'blue' },
        yAxis: { unit: panel.unit },
        legend: { show: true },
        tooltip: { mode: 'single' },
      };
    case 'table':
      return { showHeader: true, cellHeight: 'sm', footer: { show: false } };
  }
}

type Table = Extract<Panel, { kind: 'table' }>;

function tableOverrides({ columns, link, mappedColumns = [], mappings = [] }: Table): object[] {
  const headingOf = (field: string): string => columns.find(([name]) => name === field)?.[1] ?? field;
  const isMapped = mappedColumns.map((field) => ({
    matcher: { id: 'byName', options: headingOf(field) },
    properties: [
      { id: 'mappings', value: [mappingJson(mappings)] },
      { id: 'custom.cellOptions', value: { type: 'color-text' } },
    ],
  }));
  if (link === undefined) return isMapped;
  const { column, url, title } = link;
  const links = { id: 'links', value: [{ title, url }] };
  return [...isMapped, { matcher: { id: 'byName', options: headingOf(column) }, properties: [links] }];
}

function tableTransformations(columns: readonly (readonly [string, string])[]): object[] {
  return [
    { id: 'merge', options: {} },
    // What is not named here, Time among it, is left out.
    { id: 'filterFieldsByName', options: { include: { names: columns.map(([field]) => field) } } },
    {
      id: 'organize',
      options: {
        indexByName: Object.fromEntries(columns.map(([field], index) => [field, index])),
        renameByName: Object.fromEntries(columns),
      },
    },
  ];
}
