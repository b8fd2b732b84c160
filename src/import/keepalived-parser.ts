import { type ConfigFiles, type ExpandedLine, type Place, type SyntaxProblem, TextReader } from './keepalived-text.js';

/** One statement: its words, the first of which is the keyword, and the block that follows it. */
export interface Directive {
  readonly name: string;
  readonly values: readonly string[];
  readonly place: Place;
  /** Undefined where there is none. */
  readonly block: readonly Directive[] | undefined;
}

export type ParsedKeepalived =
  | { readonly ok: true; readonly directives: readonly Directive[] }
  | { readonly ok: false; readonly problems: readonly SyntaxProblem[] };

/**
 * Reads a keepalived.conf as keepalived(8) does: comments, includes, conditions (`@id`, `@^id`), parameters, `~SEQ` and
 * `~LST`, then statements and blocks. It knows no keyword: what a statement means is its reader's business.
 *
 * @param configId what keepalived is started with as `-i`; by default the host name up to the first dot
 */
export function parseKeepalived(path: string, configId: string, files: ConfigFiles): ParsedKeepalived {
  const reader = new TextReader(files, configId);
  reader.readFile(path);
  const problems = [...reader.problems];
  const directives = buildTree(reader.lines, problems);
  return problems.length === 0 ? { ok: true, directives } : { ok: false, problems };
}

interface OpenDirective {
  readonly name: string;
  readonly values: readonly string[];
  readonly place: Place;
  block: OpenDirective[] | undefined;
}

/** keepalived has no block in a block in a block in a block. */
const blockDepthMax = 8;

type Token = { readonly kind: 'word' | 'open' | 'close'; readonly text: string };

/** Words by blanks; double quotes hold one together; braces stand for themselves outside quotes. */
export function tokenize(line: string): Token[] {
  const tokens: Token[] = [];
  for (const match of line.matchAll(/"([^"]*)"|([{}])|((?:\$\{|[^\s"{}])(?:\$\{\w*\}|[^\s"{}])*\}?)/g)) {
    if (match[1] !== undefined) tokens.push({ kind: 'word', text: match[1] });
    else if (match[2] !== undefined) tokens.push({ kind: match[2] === '{' ? 'open' : 'close', text: match[2] });
    else tokens.push(...splitWord(match[3] ?? ''));
  }
  return tokens;
}

/** A closing brace at the end of a word is the block's, unless the word opened it itself. */
function splitWord(word: string): Token[] {
  const own = word.includes('${');
  if (own || !word.endsWith('}')) return [{ kind: 'word', text: word }];
  return [
    { kind: 'word', text: word.slice(0, -1) },
    { kind: 'close', text: '}' },
  ];
}

function buildTree(lines: readonly ExpandedLine[], problems: SyntaxProblem[]): readonly Directive[] {
  const root: OpenDirective[] = [];
  const open: { readonly owner: OpenDirective; readonly list: OpenDirective[] }[] = [];
  for (const { text, place } of lines) {
    let words: string[] = [];
    const here = (): OpenDirective[] => open.at(-1)?.list ?? root;
    const endStatement = (): void => {
      const [name, ...values] = words;
      if (name !== undefined) here().push({ name, values, place, block: undefined });
      words = [];
    };
    for (const token of tokenize(text)) {
      if (token.kind === 'word') {
        words.push(token.text);
        continue;
      }
      endStatement();
      if (token.kind === 'open') {
        const owner = here().at(-1);
        if (owner === undefined || owner.block !== undefined) {
          problems.push({
            place,
            message: "'{' belongs to no statement",
            remedy: 'write what the block is for before it',
          });
          return [];
        }
        if (open.length >= blockDepthMax) {
          problems.push({
            place,
            message: `blocks are nested more than ${blockDepthMax} deep`,
            remedy: "close those that are open with '}'",
          });
          return [];
        }
        owner.block = [];
        open.push({ owner, list: owner.block });
      } else if (open.pop() === undefined) {
        problems.push({ place, message: "there is one '}' too many", remedy: 'remove it, or open the block it ends' });
      }
    }
    endStatement();
  }
  for (const { owner } of open) {
    problems.push({ place: owner.place, message: `the block of ${owner.name} is not closed`, remedy: "add its '}'" });
  }
  return root;
}
