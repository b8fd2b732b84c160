import { readFileSync } from 'node:fs';

/** The server's configuration that docs/log.md recommends, with public keys in the place of `PUBLIC_KEY_OF_R1`. */
export function permissionRecipe(keys: Readonly<Record<string, string>>): string {
  const block = /```nats\n(accounts[\s\S]*?)```/.exec(readFileSync('docs/log.md', 'utf8'))?.[1];
  if (block === undefined) throw new Error('docs/log.md shows no accounts');
  return block.replace(/\bPUBLIC_KEY_OF_(\w+)/g, (name, node: string) => {
    const key = keys[node];
    if (key === undefined) throw new Error(`docs/log.md names ${name}, which the test does not know`);
    return key;
  });
}
