import { configDefaults, defineConfig } from 'vitest/config';

/** Tests that start what they need and leave nothing in their process: one process does a file after another, and loads a module once. */
const shared = ['apps', 'bus', 'cipher', 'flow-sdk', 'histories', 'identity', 'manifests', 'messages', 'networks', 'packaging', 'pattern', 'rest-client', 'shell', 'tidy', 'transcripts', 'workers'].map(
  (folder) => `test/${folder}/**/*.test.ts`,
);

// Two files at a time: the tests start real databases, brokers and worker threads.
export default defineConfig({
  test: {
    pool: 'forks',
    maxWorkers: 2,
    testTimeout: 30_000,
    hookTimeout: 60_000,
    projects: [
      { extends: true, test: { name: 'shared', include: shared, isolate: false } },
      { extends: true, test: { name: 'apart', include: ['test/**/*.test.ts'], exclude: [...configDefaults.exclude, ...shared] } },
    ],
  },
});
