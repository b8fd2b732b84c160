import { defineConfig } from 'vitest/config';

// One worker: the suites share one namespace, and with it the links and sysctls in it.
export default defineConfig({
  test: {
    include: ['test/attach/**/*.inside.ts'],
    pool: 'forks',
    maxWorkers: 1,
    fileParallelism: false,
    testTimeout: 30_000,
  },
});
