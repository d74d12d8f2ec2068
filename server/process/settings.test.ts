import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { environmentWithFile, readSettings, SettingsError } from './settings.ts'

test('an empty environment gives the documented defaults', () => {
  expect(readSettings({})).toMatchObject({
    databaseUrl: null,
    apiListen: { address: '127.0.0.1', port: 3000 },
    httpsListen: null,
    httpListen: null,
    metricsListen: { address: '127.0.0.1', port: 9464 },
    listenerRuntime: 'auto',
    workers: null,
    logLevel: 'info',
    outboundAllow: [],
  })
})

test('values are read, empty ones count as unset', () => {
  const settings = readSettings({
    NAMEPLATE_HTTPS_LISTEN: '127.0.0.1:8443, [::1]:8443,:443',
    NAMEPLATE_WORKERS: '4',
    NAMEPLATE_ACME_TERMS_AGREED: 'true',
    NAMEPLATE_DNS_SERVERS: '127.0.0.1:5353,9.9.9.9,[::1]:53',
    NAMEPLATE_OUTBOUND_ALLOW: '10.0.0.0/8,127.0.0.1',
    NAMEPLATE_PROXY_PROTOCOL_FROM: '192.0.2.0/24',
    NAMEPLATE_USER: '',
  })
  expect(settings.httpsListen).toEqual([
    { address: '127.0.0.1', port: 8443 },
    { address: '::1', port: 8443 },
    { address: null, port: 443 },
  ])
  expect(settings).toMatchObject({
    workers: 4,
    acmeTermsAgreed: true,
    user: null,
    dnsServers: ['127.0.0.1:5353', '9.9.9.9', '[::1]:53'],
  })
})

test.each([
  ['NAMEPLATE_API_LISTEN', 'localhost', /NAMEPLATE_API_LISTEN: address:port as in 127.0.0.1:3000, not "localhost"/],
  ['NAMEPLATE_API_LISTEN', '127.0.0.1:70000', /NAMEPLATE_API_LISTEN/],
  ['NAMEPLATE_HTTPS_LISTEN', 'example.com:443', /NAMEPLATE_HTTPS_LISTEN/],
  ['NAMEPLATE_WORKERS', '0', /a number from 1 to 256, not "0"/],
  ['NAMEPLATE_LISTENER_RUNTIME', 'deno', /auto, bun or node, not "deno"/],
  ['NAMEPLATE_LOG_LEVEL', 'loud', /NAMEPLATE_LOG_LEVEL/],
  ['NAMEPLATE_ACME_DIRECTORY', 'http://ca.example/dir', /an https URL/],
  ['NAMEPLATE_ACME_TERMS_AGREED', 'yes', /true or false/],
  ['NAMEPLATE_OUTBOUND_ALLOW', '10.0.0.0/99', /CIDRs/],
  ['NAMEPLATE_PROXY_PROTOCOL_FROM', 'everywhere', /CIDRs/],
  ['NAMEPLATE_DNS_SERVERS', 'resolver', /NAMEPLATE_DNS_SERVERS/],
  ['NAMEPLATE_LINK_SOCKET', `/${'x'.repeat(120)}`, /at most 100 bytes/],
  ['NAMEPLATE_HTTP_LISTENN', ':80', /NAMEPLATE_HTTP_LISTENN: there is no such setting/],
  ['NAMEPLATE_ACME_EAB_HMAC_KEY', '!!!', /^NAMEPLATE_ACME_EAB_HMAC_KEY: the base64url key [^!]*$/],
  ['DATABASE_URL', 'mysql://root:secret@db/x', /DATABASE_URL: a URL like postgresql:/],
])('%s=%s is one line that names it', (name, value, expected) => {
  const read = (): unknown => readSettings({ [name]: value })
  expect(read).toThrow(SettingsError)
  expect(read).toThrow(expected)
  expect(read).not.toThrow(/secret|\n/)
})

test('a .env file is under the environment', () => {
  const folder = mkdtempSync(join(tmpdir(), 'nameplate-env-'))
  const file = join(folder, '.env')
  writeFileSync(file, 'NAMEPLATE_WORKERS=3\nNAMEPLATE_LOG_LEVEL="warn"\n')
  expect(environmentWithFile({ NAMEPLATE_WORKERS: '5' }, file)).toEqual({
    NAMEPLATE_WORKERS: '5',
    NAMEPLATE_LOG_LEVEL: 'warn',
  })
  expect(environmentWithFile({}, join(folder, 'none'))).toEqual({})
  rmSync(folder, { recursive: true })
})
