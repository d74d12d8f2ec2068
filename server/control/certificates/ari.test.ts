import { expect, test } from 'vitest'
import { certificateIdentifier, parseRenewalInfo } from './ari.ts'

/** The example certificate of RFC 9773 appendix A. */
const EXAMPLE = `-----BEGIN CERTIFICATE-----
MIIBQzCB66ADAgECAgUAh2VDITAKBggqhkjOPQQDAjAVMRMwEQYDVQQDEwpFeGFt
cGxlIENBMCIYDzAwMDEwMTAxMDAwMDAwWhgPMDAwMTAxMDEwMDAwMDBaMBYxFDAS
BgNVBAMTC2V4YW1wbGUuY29tMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEeBZu
7cbpAYNXZLbbh8rNIzuOoqOOtmxA1v7cRm//AwyMwWxyHz4zfwmBhcSrf47NUAFf
qzLQ2PPQxdTXREYEnKMjMCEwHwYDVR0jBBgwFoAUaYhba4dGQEHhs3uEe6CuLN4B
yNQwCgYIKoZIzj0EAwIDRwAwRAIge09+S5TZAlw5tgtiVvuERV6cT4mfutXIlwTb
+FYN/8oCIClDsqBklhB9KAelFiYt9+6FDj3z4KGVelYM5MdsO3pK
-----END CERTIFICATE-----
`

test('the identifier of the example certificate is that of RFC 9773', () => {
  expect(certificateIdentifier(EXAMPLE)).toBe('aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE')
})

test('a window is read with its link and wait', () => {
  const body = {
    suggestedWindow: { start: '2026-01-02T04:00:00Z', end: '2026-01-03T04:00:00Z' },
    explanationURL: 'https://ca.test/why',
  }
  expect(parseRenewalInfo(body, 21_600_000)).toEqual({
    start: new Date('2026-01-02T04:00:00Z'),
    end: new Date('2026-01-03T04:00:00Z'),
    explanationUrl: 'https://ca.test/why',
    retryAfterMs: 21_600_000,
  })
  expect(parseRenewalInfo({ ...body, explanationURL: 'javascript:alert(1)' }, null)?.explanationUrl).toBeNull()
})

test.each([
  ['no object', 'hello'],
  ['no window', {}],
  ['no times', { suggestedWindow: { start: 'soon', end: 'later' } }],
  ['an end before its start', { suggestedWindow: { start: '2026-01-03T00:00:00Z', end: '2026-01-02T00:00:00Z' } }],
  ['a window of years', { suggestedWindow: { start: '2026-01-03T00:00:00Z', end: '2036-01-02T00:00:00Z' } }],
])('%s is no window', (_what, body) => {
  expect(parseRenewalInfo(body, null)).toBeNull()
})
