import { type Annotation, of } from './dashboard.js';
import type { Mapping } from './panel.js';

/** States in the order of their number in a state timeline. */
const states: readonly (readonly [string, Mapping['colour']])[] = [
  ['init', 'text'],
  ['fault', 'red'],
  ['backup', 'blue'],
  ['candidate', 'yellow'],
  ['master', 'green'],
  ['draining', 'orange'],
  ['fenced', 'purple'],
];

export const stateMappings: readonly Mapping[] = states.map(([text, colour], at) => ({ value: at + 1, text, colour }));

/** The state as a number, since a state timeline shows numbers; the stateset has it as the one series that is 1. */
export function stateNumber(by: string, ...more: readonly string[]): string {
  const each = states.map(([state], at) => `(${of('koi_vr_state', ...more, `state="${state}"`)} == 1) * ${at + 1}`);
  return `max by (${by}) (${each.join(' or ')})`;
}

export const yesNo: readonly Mapping[] = [
  { value: 1, text: 'yes', colour: 'green' },
  { value: 0, text: 'no', colour: 'red' },
];

export const upDown: readonly Mapping[] = [
  { value: 1, text: 'up', colour: 'green' },
  { value: 0, text: 'down', colour: 'red' },
];

export const badAbove0 = [
  [null, 'green'],
  [1, 'red'],
] as const;

/** New masters and split brains, marked in every chart. */
export function transitionMarks(...more: readonly string[]): readonly Annotation[] {
  return [
    {
      name: 'New master',
      expr: `sum by (vr, instance, reason) (increase(${of('koi_transitions_total', ...more, 'to="master"')}[$__interval])) > 0`,
      title: '{{vr}}: {{instance}} is master',
      text: '{{reason}}',
      colour: 'blue',
    },
    {
      name: 'Split brain',
      expr: `sum by (vr, instance, source) (increase(${of('koi_split_brain_detected_total', ...more)}[$__interval])) > 0`,
      title: '{{vr}}: a second master, seen by {{instance}}',
      text: 'source: {{source}}',
      colour: 'red',
    },
  ];
}
