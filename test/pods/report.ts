import type { ClientView } from '../lab/outage.js';

type Row = ClientView & { readonly moves: number };

/**
 * What others take, in the order kube-vip 15/10/2, MetalLB with memberlist, PureLB, keepalived at 1 s: derived from their
 * timers, their users' logs and PureLB's published baselines, and not measured here.
 */
const others = {
  powerOff: ['15 to 20 s', '1 to 4 s', '2.2 s', '3 to 4 s'],
  stop: ['2 to 5 s', 'as a crash', '0.6 to 1.4 s', 'under 1 s'],
  storeStall: ['lost at 10 s', 'not touched', 'lost at 10 s', 'not touched'],
  partition: ['up to 10 s both', 'both, all the while', 'by its lease', 'both, all the while'],
} as const;
type Case = keyof typeof others;

const rows: { readonly title: string; readonly row: Row; readonly of: Case | undefined }[] = [];

/** What the client saw, as the rows of a table in Markdown. */
export const report = {
  add: (title: string, row: Row, of?: Case): void => {
    rows.push({ title, row, of });
  },
  print: (): void => {
    const lines = rows.splice(0).map(({ title, row: { sent, lost, outageMs, moves }, of }) => {
      const beside = of === undefined ? ['', '', '', ''] : others[of];
      return `| ${[title, `${lost} of ${sent}`, `${outageMs.toFixed(0)} ms`, moves, ...beside].join(' | ')} |`;
    });
    const head = '| | probes lost | longest gap | moves | kube-vip | MetalLB | PureLB | keepalived |';
    process.stderr.write(`${[head, '|---|---|---|---|---|---|---|---|', ...lines].join('\n')}\n`);
  },
};
