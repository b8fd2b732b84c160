/** What a scenario found, one JSON line on the machine's second serial port. */
export interface Finding {
  readonly scenario: string;
  /** What went wrong; empty where all was as it should be. */
  readonly problems: readonly string[];
  readonly figures: Readonly<Record<string, number>>;
}

export function progress(text: string): void {
  process.stdout.write(`# ${text}\n`);
}

export function report(finding: Finding): void {
  process.stdout.write(`${JSON.stringify(finding)}\n`);
}
