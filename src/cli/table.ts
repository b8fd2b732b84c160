/** A cell: what it says, and how the terminal shows it (colours take no room). */
export interface Cell {
  readonly text: string;
  readonly shown?: string;
}

/** Lines of aligned columns, two blanks apart. */
export function formatTable(rows: readonly (readonly Cell[])[]): string {
  const widths: number[] = [];
  for (const row of rows) {
    row.forEach(({ text }, column) => {
      widths[column] = Math.max(widths[column] ?? 0, text.length);
    });
  }
  return rows
    .map((row) =>
      row
        .map(
          ({ text, shown }, column) =>
            (shown ?? text) + ' '.repeat(column === row.length - 1 ? 0 : (widths[column] ?? 0) - text.length),
        )
        .join('  ')
        .trimEnd(),
    )
    .map((line) => `${line}\n`)
    .join('');
}
