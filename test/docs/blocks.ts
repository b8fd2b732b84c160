import { readFileSync } from 'node:fs';

/**
 * The YAML block of a page whose first line names it as a comment.
 *
 * @throws Error where the page has none
 */
export function yamlBlock(page: string, name: string): string {
  const blocks = [...readFileSync(page, 'utf8').matchAll(/^```yaml\n([\s\S]*?)^```/gm)].map(([, text = '']) => text);
  const found = blocks.find((text) => text.startsWith(`# ${name}\n`));
  if (found === undefined) throw new Error(`${page} has no block that begins with "# ${name}"`);
  return found;
}

/** What a page tells people to type, block by block. */
export const shellBlocks = (text: string): string[] =>
  [...text.matchAll(/^ *```sh\n([\s\S]*?)^ *```/gm)].map(([, block = '']) => block);

/** The lines of a block, those that go on put together, without remarks. */
export const linesOf = (block: string): string[] =>
  block
    .replaceAll(/\\\n\s*/g, ' ')
    .split('\n')
    .map((line) => line.replace(/(^|\s+)#\s.*$/, '').trim())
    .filter((line) => line !== '');

/**
 * What the pages on operation, migration and the log say to type of packages, units and stores: it wants a Debian with systemd;
 * the rest is typed on the master of a pair (test/runbooks).
 */
export const typedOnDebian =
  /^(apt|systemctl|install -m|koi witness|koi drain --until-restart)\b|^(tar|rm|mv) .*\/var\/lib\/koi/;
