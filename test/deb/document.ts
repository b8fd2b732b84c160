/** A fenced block of a Markdown page. */
export interface Block {
  /** The last heading of the second level before it. */
  readonly section: string;
  readonly language: string;
  readonly text: string;
}

/** The fenced blocks of a page, in order. */
export function blocksOf(markdown: string): Block[] {
  const parts = markdown.matchAll(/^## (.*)$|^```(\w*)\n([\s\S]*?)^```$/gm);
  let section = '';
  const blocks: Block[] = [];
  for (const [, heading, language, text] of parts) {
    if (heading !== undefined) section = heading;
    else blocks.push({ section, language: language ?? '', text: text ?? '' });
  }
  return blocks;
}
