import { defineConfig, mergeConfig } from 'vitest/config'
import short from './vitest.config.ts'

/** `npm run test:long`: the same kinds of tests at sizes that take many minutes. `LONG_MINUTES` sets the kill run. */
export default mergeConfig(
  { ...short, test: { ...short.test, include: [] } },
  defineConfig({
    test: {
      include: ['server/test/long/*.long.ts', 'server/test/feed.test.ts'],
      env: { FEED_TEST_CHANGES: process.env['FEED_TEST_CHANGES'] ?? '100000' },
      testTimeout: 3_600_000,
    },
  }),
)
