import { spawn } from 'node:child_process'

/** `npm run dev`: the product from this checkout, and the UI rebuilt at each change of its files. */
const ui = spawn(process.execPath, ['../node_modules/vite/bin/vite.js', 'build', '--watch', '--logLevel', 'warn'], {
  cwd: 'web',
  stdio: ['ignore', 'inherit', 'inherit'],
})
const product = spawn(process.execPath, ['server/cli.ts', 'start'], { stdio: ['inherit', 'inherit', 'inherit', 'ipc'] })
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => product.kill(signal))
process.on('disconnect', () => product.kill('SIGTERM'))
product.on('exit', (code) => {
  ui.kill()
  process.exit(code ?? 1)
})
