// A server of one's own: the real binary on a copy of an example, on a free port, with its own data, on the store that E2E_STORE names.
//
// Absent: anything about what is tested.

import { execFileSync, spawn } from 'node:child_process'
import { createWriteStream, cpSync, mkdtempSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import path from 'node:path'
import readline from 'node:readline'
import { fileURLToPath } from 'node:url'

export const ROOT = process.env.E2E_ROOT ?? path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..')
export const BINARY = process.env.UNDERGIRD_BIN ?? path.join(ROOT, 'target/debug/undergird')
export const CACHE = process.env.E2E_CACHE ?? path.join(path.dirname(BINARY), '../e2e')
const SCRATCH = process.env.E2E_SCRATCH ?? tmpdir()
const READY_MS_MAX = 20_000

// The server takes every UNDERGIRD_… for a setting; the binary's path is ours.
export const environment = Object.fromEntries(
  Object.entries(process.env).filter(([name]) => !name.startsWith('UNDERGIRD_')),
)

// Packages are in the cache, not beside this file.
export const installed = createRequire(path.join(CACHE, 'node', 'package.json'))

/** Starts the binary on a copy of `examples/{example}`, after `change` had its folder. */
export async function start(example, change = () => {}, { listen = '127.0.0.1:0' } = {}) {
  const folder = mkdtempSync(path.join(SCRATCH, `${example}-`))
  const app = path.join(folder, 'app')
  const data = path.join(folder, 'data')
  cpSync(path.join(ROOT, 'examples', example), app, {
    recursive: true,
    filter: (from) => path.basename(from) !== 'data',
  })
  change(app)
  const log = path.join(folder, 'server.log')
  const database = stores(['create'])
  const env = database ? { ...environment, UNDERGIRD_STORES_MAIN_URL: database } : environment
  const child = spawn(BINARY, ['dev', app, '--data', data, '--listen', listen], {
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  child.stderr.pipe(createWriteStream(log))
  const url = await ready(child, log)
  const keys = JSON.parse(execFileSync(BINARY, ['keys', app, '--data', data, '--json'], { encoding: 'utf8', env }))
  return {
    app,
    url,
    publishable: keys.publishable_key,
    secret: keys.secret_key,
    /** Runs SQL in the database, as people do by hand. Not on SQLite. */
    sql: (text) => stores(['sql', database], text),
    async stop() {
      const ended = new Promise((done) => child.once('exit', done))
      child.kill('SIGTERM')
      const late = setTimeout(() => child.kill('SIGKILL'), 5_000)
      await ended
      clearTimeout(late)
      stores(['drop', database])
    },
  }
}

/** Makes, drops or asks a database on the store that E2E_STORE names; SQLite's is in the folder. */
function stores(command, input = '') {
  if ((process.env.E2E_STORE ?? 'sqlite') === 'sqlite') return undefined
  const script = path.join(ROOT, 'tests/e2e/stores.py')
  return execFileSync(process.env.E2E_PYTHON ?? 'python3', [script, ...command], { encoding: 'utf8', input }).trim()
}

function ready(child, log) {
  return new Promise((resolve, reject) => {
    const late = setTimeout(() => {
      child.kill('SIGKILL')
      reject(new Error(`the server was not ready after ${READY_MS_MAX} ms:\n${readFileSync(log, 'utf8')}`))
    }, READY_MS_MAX)
    child.once('exit', (code) => {
      clearTimeout(late)
      reject(new Error(`the server ended with ${code}:\n${readFileSync(log, 'utf8')}`))
    })
    readline.createInterface({ input: child.stdout }).on('line', (line) => {
      const found = /^ready (http:\S+)/.exec(line)
      if (!found) return
      clearTimeout(late)
      resolve(found[1])
    })
  })
}
