import type { Counts } from './segment.js';

/** A line that the outer test prints for whoever wants the numbers. */
export function figure(what: string, { wrong, right, asked, seen }: Counts, more = ''): void {
  say(`${what}: ${wrong} wrong, ${right} right, ${asked} asked, ${seen} seen${more}`);
}

export const say = (text: string): void => void process.stdout.write(`figure: ${text}\n`);
