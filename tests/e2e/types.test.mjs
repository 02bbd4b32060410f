// `undergird types typescript` gives the type that `createClient<Database>()` expects: tsc finds what is right right, and each
// mistake of a query (marked by @ts-expect-error) wrong. An expected error that does not come is an error too.

import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { mkdtempSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { test } from 'node:test'
import { BINARY, CACHE, ROOT, environment } from './harness.mjs'

const PROGRAM = `
import { createClient } from '@supabase/supabase-js'
import type { Database } from './database.js'

const db = createClient<Database>('http://127.0.0.1:8090', 'key')
type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends (<T>() => T extends B ? 1 : 2) ? true : false
function holds<T extends true>(): T | undefined { return undefined }

const { data: posts } = await db.from('posts').select('id, title, status, published_at')
if (posts) {
  const post = posts[0]!
  holds<Same<typeof post.id, string>>()
  holds<Same<typeof post.status, 'draft' | 'published'>>()
  holds<Same<typeof post.published_at, string | null>>()
  // @ts-expect-error: not selected
  post.body
}

const { data: embedded } = await db.from('posts').select('title, users(name, email), comments(body), tags(name)').single()
if (embedded) {
  holds<Same<typeof embedded.users.name, string>>()
  // Only its owner may read it.
  holds<Same<typeof embedded.users.email, string | null>>()
  holds<Same<typeof embedded.comments, { body: string }[]>>()
  holds<Same<typeof embedded.tags, { name: string }[]>>()
}

// What has a default need not be said.
await db.from('posts').insert({ title: 'Hello', slug: 'hello' })
await db.from('posts').update({ status: 'published' }).eq('slug', 'hello')
await db.from('tags').upsert({ name: 'rust' }, { onConflict: 'name' })
// @ts-expect-error: slug is required
await db.from('posts').insert({ title: 'Hello' })
// @ts-expect-error: no such value
await db.from('posts').update({ status: 'gone' })
// @ts-expect-error: not a text
await db.from('posts').insert({ title: 5, slug: 'hello' })
// @ts-expect-error: no such collection
await db.from('post').select()
`

test('the types fit the client, and find mistakes', () => {
  const folder = mkdtempSync(path.join(process.env.E2E_SCRATCH ?? tmpdir(), 'types-'))
  const types = execFileSync(BINARY, ['types', 'typescript', path.join(ROOT, 'examples/blog')], { encoding: 'utf8', env: environment })
  symlinkSync(path.join(CACHE, 'node/node_modules'), path.join(folder, 'node_modules'))
  writeFileSync(path.join(folder, 'package.json'), '{"type": "module"}')
  writeFileSync(path.join(folder, 'database.ts'), types)
  writeFileSync(path.join(folder, 'program.ts'), PROGRAM)
  const compiler = path.join(CACHE, 'node/node_modules/typescript/bin/tsc')
  const options = ['--noEmit', '--strict', '--skipLibCheck', '--target', 'es2022', '--module', 'nodenext']
  const ended = spawnSync(process.execPath, [compiler, ...options, 'program.ts'], { cwd: folder, encoding: 'utf8' })
  assert.equal(ended.status, 0, ended.stdout + ended.stderr)
})
