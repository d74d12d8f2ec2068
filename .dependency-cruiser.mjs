// The layers of ARCHITECTURE.md as rules. `npm run check` fails on each violation, and when nothing was read.

/** The control plane's folders in the order in which imports may point left. One list is one level. */
const levels = [
  [
    'errors.ts',
    'connect.ts',
    'db.ts',
    'schema.ts',
    'vault.ts',
    'keyring.ts',
    'open-vault.ts',
    'migrate.ts',
    'known-issuers.ts',
    'generated',
    'jobs',
    'outbound',
  ],
  ['events'],
  ['auth'],
  ['mail'],
  ['settings', 'tenants', 'plans', 'activity'],
  ['users'],
  ['setup'],
  ['edges'],
  ['domains', 'sites', 'addresses', 'traffic'],
  ['dns'],
  ['certificates'],
  ['notices', 'probe'],
  ['publish'],
  ['api'],
  ['backup'],
]
const folder = (names) => `^server/control/(${names.map((name) => name.replace('.', '\\.')).join('|')})(/|$)`

const oneWay = levels.slice(0, -1).map((names, level) => ({
  name: `control-level-${level}`,
  comment: `${names.join(', ')} must not import from the right: take it as an argument, wired in server/control.ts`,
  severity: 'error',
  from: { path: folder(names), pathNot: '\\.test\\.ts$' },
  to: { path: folder(levels.slice(level + 1).flat()) },
}))

const peers = levels
  .filter((names) => names.includes('domains') || names.includes('settings'))
  .flatMap((names) => names.map((name) => ({ name, others: names.filter((other) => other !== name) })))
  .map(({ name, others }) => ({
    name: `control-peers-${name}`,
    comment: `${name} must not import its peers ${others.join(', ')}`,
    severity: 'error',
    from: { path: folder([name]), pathNot: '\\.test\\.ts$' },
    to: { path: folder(others) },
  }))

export default {
  forbidden: [
    ...oneWay,
    ...peers,
    {
      name: 'no-cycle',
      severity: 'error',
      from: { pathNot: 'server/control/generated' },
      to: { circular: true },
    },
    {
      name: 'planes-apart',
      comment: 'the listener never imports the control plane',
      severity: 'error',
      from: { path: '^server/listener(/|\\.ts$)' },
      to: { path: '^server/control(/|\\.ts$)' },
    },
    {
      name: 'planes-apart-back',
      comment: 'the control plane never imports the listener',
      severity: 'error',
      from: { path: '^server/control(/|\\.ts$)' },
      to: { path: '^server/listener(/|\\.ts$)' },
    },
    {
      name: 'contract-is-alone',
      comment: 'the contract imports itself and Node only',
      severity: 'error',
      from: { path: '^server/contract/', pathNot: '\\.test\\.ts$' },
      to: { pathNot: '^server/contract/', dependencyTypesNot: ['core'] },
    },
    {
      name: 'process-imports-contract',
      comment: 'what every process needs knows neither plane',
      severity: 'error',
      from: { path: '^server/process/', pathNot: '\\.test\\.ts$' },
      to: { path: '^server/(control|listener)(/|\\.ts$)' },
    },
    {
      name: 'data-plane-apis',
      comment: 'workers run on Bun and Node from one code base: node: APIs only (docs/adr)',
      severity: 'error',
      from: { path: '^server/listener/', pathNot: '\\.test\\.ts$' },
      to: { path: '^(bun|bun:.*|undici|node:cluster|cluster)$' },
    },
    {
      name: 'prisma-only-in-stores',
      comment: 'one writer per table: the generated client is imported by db.ts and store.ts files (types: anywhere)',
      severity: 'error',
      from: { path: '^server/control/', pathNot: '(/db\\.ts|/store\\.ts|-store\\.ts|\\.test\\.ts|/generated/)' },
      to: { path: '^server/control/generated', dependencyTypesNot: ['type-only'] },
    },
    {
      name: 'product-not-tests',
      severity: 'error',
      from: { path: '^server/', pathNot: '(\\.test\\.ts$|^server/test/)' },
      to: { path: '(\\.test\\.ts$|^server/test/)' },
    },
    { name: 'resolvable', severity: 'error', from: {}, to: { couldNotResolve: true, pathNot: '^bun' } },
  ],
  options: {
    doNotFollow: { path: ['node_modules', 'server/control/generated'] },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['import', 'node', 'default'],
      extensions: ['.ts', '.mjs', '.js', '.json'],
    },
  },
}
