import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect } from 'vitest';

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

/** A page whose blocks are typed in the order in which they stand. */
export class Page {
  readonly #blocks: Block[];

  constructor(path: string) {
    this.#blocks = blocksOf(readFileSync(path, 'utf8'));
  }

  /** The blocks that are not typed yet. */
  get left(): readonly Block[] {
    return this.#blocks;
  }

  /** The next block, which has to be of this section. */
  next(section: string, language = 'sh'): string {
    const block = this.#blocks.shift();
    expect(block, `a block of ${language} in "${section}"`).toMatchObject({ section, language });
    return block?.text ?? '';
  }
}

export const quickStart = fileURLToPath(new URL('../../docs/quick-start.md', import.meta.url));

/** The file of the package that a block installs. @throws Error where it installs none */
export function packageNamed(block = ''): string {
  const file = /\S+\.deb/.exec(block)?.[0];
  if (file === undefined) throw new Error(`it installs no package: ${block}`);
  return file;
}
