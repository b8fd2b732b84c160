/** A fenced block of a Markdown page. */
export interface Block {
  /** The last heading of the second level before it. */
  readonly section: string;
  readonly language: string;
  readonly text: string;
}

/** The fenced blocks of a page, in order; those in a list without their indentation. */
export function blocksOf(markdown: string): Block[] {
  const parts = markdown.matchAll(/^## (.*)$|^( *)```(\w*)\n([\s\S]*?)^ *```$/gm);
  let section = '';
  const blocks: Block[] = [];
  for (const [, heading, indentation = '', language = '', text = ''] of parts) {
    if (heading !== undefined) section = heading;
    else blocks.push({ section, language, text: text.replaceAll(new RegExp(`^${indentation}`, 'gm'), '') });
  }
  return blocks;
}
