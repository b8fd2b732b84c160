import { defineConfig } from 'vitest/config';

// One worker: the suites share one namespace, and with it the links and sysctls in it.
export default defineConfig({
  test: {
    include: ['test/races/carp-*.inside.ts'],
    pool: 'forks',
    maxWorkers: 1,
    fileParallelism: false,
    testTimeout: process.env.KOI_RACES === 'all' ? 1_200_000 : 30_000,
    hookTimeout: 30_000,
  },
});
