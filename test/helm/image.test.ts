import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';

/* scripts/image builds the image; what would stop it in its first second is seen here. */

const dockerfile = readFileSync('packaging/image/Dockerfile', 'utf8').replaceAll('\\\n', ' ');
const copied = [...dockerfile.matchAll(/^COPY (?!--from)(.*)$/gm)].flatMap(([, words = '']) =>
  words.split(/\s+/).slice(0, -1),
);
const allowed = [...readFileSync('.dockerignore', 'utf8').matchAll(/^!(.*)$/gm)].map(([, path = '']) => path);

describe('the Dockerfile', () => {
  it('copies files that exist, and that .dockerignore lets through', () => {
    expect(copied.length).toBeGreaterThan(5);
    const isAllowed = (path: string): boolean => allowed.some((each) => path === each || path.startsWith(`${each}/`));
    expect(copied.filter((path) => !existsSync(path) || !isAllowed(path))).toEqual([]);
  });

  it('has every folder that the build of the program reads', () => {
    const { include } = JSON.parse(readFileSync('tsconfig.build.json', 'utf8')) as { include?: string[] };
    for (const folder of include ?? ['src']) expect(copied).toContain(folder.split('/')[0]);
  });
});
