import { defineConfig } from 'vitest/config'

/** Suites that need real servers get time; nothing asserts on time. */
export default defineConfig({
  test: {
    include: ['server/**/*.test.ts', 'scripts/**/*.test.ts', 'bench/**/*.test.ts', 'web/src/**/*.test.ts'],
    globalSetup: ['server/test/global-setup.ts'],
    testTimeout: 180_000,
    hookTimeout: 120_000,
    teardownTimeout: 20_000,
    pool: 'forks',
    maxWorkers: 3,
    passWithNoTests: false,
    chaiConfig: { truncateThreshold: 400 },
  },
})
