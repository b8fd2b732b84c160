/** The little of man(7) that the manual pages are written with. */

/** Text that roff prints as it stands. */
export function escapeRoff(text: string): string {
  // A line that begins with a dot or a quote would be a request; a plain minus would print as a hyphen.
  return text
    .replaceAll('\\', '\\e')
    .replaceAll('-', '\\-')
    .replaceAll(/^([.'])/gm, '\\&$1');
}

export const bold = (text: string): string => `\\fB${escapeRoff(text)}\\fR`;

/** The first line of a page. */
export function titleLine(name: string, section: number, about: { readonly version: string; readonly date: string }) {
  return `.TH ${name.toUpperCase()} ${section} "${about.date}" "koi ${about.version}" "Koi"\n`;
}

export const section = (title: string): string => `.SH ${title.toUpperCase()}\n`;

/** A tagged paragraph: the tag is roff already. */
export const tagged = (tag: string, body: string): string => `.TP\n${tag}\n${body}\n`;

/** Lines as they stand, each on its own. */
export const literal = (text: string): string => `.nf\n${escapeRoff(text)}\n.fi\n`;
