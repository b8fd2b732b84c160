import { typedOnDebian } from './blocks.js';

/** Who runs a line that a page says to type: a test or script of this repository; or nobody, and why. */
export interface Typist {
  readonly pages: RegExp;
  readonly lines: RegExp;
  readonly by: readonly string[];
  readonly notHere?: string;
}

/** The first one that fits counts. */
export const typists: readonly Typist[] = [
  { pages: /^docs\/quick-start\.md$/, lines: /./, by: ['test/deb/quick-start.test.ts'] },
  {
    pages: /^docs\/(operations|migration|log)\.md$/,
    lines: typedOnDebian,
    by: ['test/deb/operations.test.ts'],
  },
  { pages: /^docs\/(runbooks\/.*|operations|migration|log)\.md$/, lines: /./, by: ['test/runbooks/pages.test.ts'] },

  { pages: /^README\.md$/, lines: /^npm (test|run lab)\b/, by: ['.ci/run'] },
  { pages: /^README\.md$/, lines: /^npm ci && npm run build$/, by: ['scripts/setup'] },
  {
    pages: /^README\.md$/,
    lines: /^(cp packaging|bin\/koi (check|run|status|timeline)\b)/,
    by: ['test/daemon/readme.test.ts'],
  },

  // Their options are parsed by the test of this list; each is run by whoever changes what it tests.
  {
    pages: /^(README|CONTRIBUTING|docs\/performance)\.md$/,
    lines: /^npm run bench\b/,
    by: ['test/bench/options.test.ts'],
  },
  { pages: /^CONTRIBUTING\.md$/, lines: /^npm run (lab|simulate)\b/, by: ['.ci/run', 'test/sim'] },
  { pages: /^CONTRIBUTING\.md$/, lines: /^npm test\b/, by: ['.ci/run'] },
  {
    pages: /^CONTRIBUTING\.md$/,
    lines: /^npm run (interop|test:\w+|fuzz|fuzz:lan)\b/,
    by: ['scripts/test', 'test/interop', 'test/fuzz', 'test/security/daemon.test.ts'],
  },
  { pages: /^CONTRIBUTING\.md$/, lines: /^npm run (deb|sbom|audit)\b|^KOI_DEB=/, by: ['test/deb', 'test/packaging'] },
  { pages: /^CONTRIBUTING\.md$/, lines: /^scripts\/image/, by: ['test/helm/image.test.ts'] },

  {
    pages: /^docs\/kubernetes\.md$/,
    lines: /^helm lint\b/,
    by: ['test/helm/helm.test.ts', 'test/helm/recipes.test.ts'],
  },
  { pages: /^docs\/kubernetes\.md$/, lines: /^koi (check|manifest)\b/, by: ['test/pods/static-pod.test.ts'] },
  {
    pages: /^(docs\/kubernetes|helm\/koi\/README)\.md$/,
    lines: /^(helm (install|test)|kubectl|kubeadm)\b/,
    by: ['test/helm/recipes.test.ts', 'test/pods/pod-shape.test.ts'],
    notHere: 'it needs a cluster: what the chart renders is checked, and its pods are run without one',
  },
  {
    pages: /^docs\/kubernetes\.md$/,
    lines: /^(install -d|openssl rand|chgrp)\b/,
    by: ['test/pods/static-pod.test.ts'],
  },
];
