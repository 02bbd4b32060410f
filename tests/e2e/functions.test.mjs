// The unmodified @supabase/supabase-js calls functions of the database with `.rpc(…)`: as its documentation says, in every form that it has.
//
// The functions are made by SQL and declared while the server runs, as people do with `undergird dev`. On PostgreSQL alone.

import assert from 'node:assert/strict'
import { mkdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { after, before, describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { installed, start } from './harness.mjs'

const { createClient } = installed('@supabase/supabase-js')

const SQL = `
CREATE FUNCTION add_numbers(a integer, b integer DEFAULT 1) RETURNS integer IMMUTABLE LANGUAGE sql AS 'SELECT a + b';
CREATE FUNCTION titled(_part text) RETURNS SETOF posts STABLE LANGUAGE sql AS
  $$ SELECT * FROM posts WHERE title LIKE '%' || _part || '%' ORDER BY title DESC $$;
CREATE FUNCTION shout(slugs text[]) RETURNS SETOF posts LANGUAGE sql AS
  $$ UPDATE posts SET title = upper(title) WHERE slug = ANY (slugs) RETURNING * $$;
CREATE FUNCTION words(sentence text) RETURNS SETOF text STABLE LANGUAGE sql AS $$ SELECT unnest(string_to_array(sentence, ' ')) $$;
CREATE FUNCTION nothing() RETURNS void LANGUAGE sql AS '';
CREATE FUNCTION refuse() RETURNS void LANGUAGE plpgsql AS
  $$ BEGIN RAISE EXCEPTION 'out of paper' USING ERRCODE = 'PT402', DETAIL = 'tray 2', HINT = 'fill it'; END $$;
`

const FUNCTIONS = {
  add_numbers: 'volatility = "immutable"\nreturns = { type = "int" }\naccess = "true"\n[arguments]\na = { type = "int" }\nb = { type = "int", optional = true }\n',
  titled: 'volatility = "stable"\nreturns = { rows = "posts" }\naccess = "true"\n[arguments]\npart = { type = "text", sql = "_part" }\n',
  shout: 'returns = { rows = "posts" }\naccess = "auth.role == \'authenticated\'"\n[arguments]\nslugs = { type = "list", of = "text" }\n',
  words: 'volatility = "stable"\nreturns = { type = "text", list = true }\naccess = "true"\n[arguments]\nsentence = { type = "text" }\n',
  nothing: 'access = "true"\n',
  refuse: 'access = "true"\n',
}

let server
let visitor
let ann

before(async () => {
  server = await start('blog')
  server.sql(SQL)
  mkdirSync(path.join(server.app, 'functions'))
  for (const [name, text] of Object.entries(FUNCTIONS)) writeFileSync(path.join(server.app, 'functions', `${name}.toml`), text)
  for (let tries = 0; ; tries += 1) {
    const contract = await (await fetch(`${server.url}/openapi.json`)).json()
    if (contract.paths['/rest/v1/rpc/refuse']) break
    assert.ok(tries < 100, 'the server takes the functions')
    await sleep(100)
  }
  const client = () => createClient(server.url, server.publishable, { auth: { persistSession: false, autoRefreshToken: false } })
  visitor = client()
  ann = client()
  const { data, error } = await ann.auth.signUp({ email: 'ann@example.com', password: 'a long enough password', options: { data: { name: 'Ann' } } })
  assert.equal(error, null)
  ann.id = data.user.id
  const posts = [['One apple', 'one', 'published'], ['Two apples', 'two', 'published'], ['Three apples', 'three', 'draft']]
  ok(await ann.from('posts').insert(posts.map(([title, slug, status]) => ({ title, slug, status, body: 'Text' }))))
})
after(() => server?.stop())

function ok({ data, error }) {
  assert.equal(error, null, error && `${error.code}: ${error.message} ${error.details ?? ''} ${error.hint ?? ''}`)
  return data
}

describe('rpc', () => {
  test('values, by POST and by GET', async () => {
    assert.equal(ok(await visitor.rpc('add_numbers', { a: 1, b: 2 })), 3)
    assert.equal(ok(await visitor.rpc('add_numbers', { a: 1 }, { get: true })), 2)
    assert.deepEqual(ok(await visitor.rpc('words', { sentence: 'a b c' })), ['a', 'b', 'c'])
    assert.deepEqual(ok(await visitor.rpc('words', { sentence: 'a b c' }, { get: true }).limit(2)), ['a', 'b'])
    const nothing = await visitor.rpc('nothing')
    assert.deepEqual([nothing.status, nothing.data, nothing.error], [204, null, null])
  })

  test('rows of a collection, under its rules', async () => {
    assert.deepEqual(ok(await visitor.rpc('titled', { part: 'apple' }).select('slug')), [{ slug: 'two' }, { slug: 'one' }])
    assert.deepEqual(ok(await ann.rpc('titled', { part: 'apple' }).select('slug').order('slug')).map((row) => row.slug), ['one', 'three', 'two'])
    const found = ok(await visitor.rpc('titled', { part: 'apple' }).select('slug, author:users(name)').eq('slug', 'one').single())
    assert.deepEqual(found, { slug: 'one', author: { name: 'Ann' } })
    assert.deepEqual(ok(await visitor.rpc('titled', { part: 'apple' }, { get: true }).select('slug').like('slug', 'o%')), [{ slug: 'one' }])
    assert.equal(ok(await visitor.rpc('titled', { part: 'apple' }).select('slug').order('slug').range(1, 1))[0].slug, 'two')
    assert.equal(ok(await visitor.rpc('titled', { part: 'pear' }).select('slug').maybeSingle()), null)
  })

  test('counts, without rows too', async () => {
    const counted = await visitor.rpc('titled', { part: 'apple' }, { count: 'exact' }).select('slug').limit(1)
    assert.deepEqual([counted.count, ok(counted).length], [2, 1])
    for (const options of [{ head: true, count: 'exact' }, { head: true, get: true, count: 'exact' }]) {
      const head = await visitor.rpc('titled', { part: 'apple' }, options)
      assert.deepEqual([head.count, head.error], [2, null])
    }
    assert.equal((await ann.rpc('titled', { part: 'apple' }, { head: true, count: 'exact' })).count, 3)
  })

  test('what changes something is for those who may', async () => {
    const refused = await visitor.rpc('shout', { slugs: ['one'] })
    assert.deepEqual([refused.status, refused.error.code], [401, '42501'])
    const shouted = await ann.rpc('shout', { slugs: ['one', 'three'] }, { count: 'exact' }).select('title').order('title')
    assert.deepEqual([shouted.count, ok(shouted)], [2, [{ title: 'ONE APPLE' }, { title: 'THREE APPLES' }]])
    const get = await ann.rpc('shout', { slugs: ['one'] }, { get: true })
    assert.deepEqual([get.status, get.error.code], [405, 'PGRST101'])
    // No body of rows, only their number.
    const head = await ann.rpc('shout', { slugs: ['one'] }, { head: true, count: 'exact' })
    assert.deepEqual([head.count ?? 'none', head.data], [head.error ? 'none' : 1, null])
  })

  test('errors say what to do', async () => {
    const unknown = await visitor.rpc('titeld', { part: 'x' })
    assert.deepEqual([unknown.status, unknown.error.code, unknown.error.hint], [404, 'PGRST202', "Perhaps you meant to call the function 'titled'"])
    const argument = await visitor.rpc('titled', { prat: 'x' })
    assert.deepEqual([argument.status, argument.error.code, argument.error.details], [404, 'PGRST202', 'titled takes part.'])
    const wrong = await visitor.rpc('add_numbers', { a: 'x' })
    assert.deepEqual([wrong.status, wrong.error.code], [422, '22P02'])
    const raised = await visitor.rpc('refuse')
    assert.deepEqual(
      [raised.status, raised.error.code, raised.error.message, raised.error.details, raised.error.hint],
      [402, 'PT402', 'out of paper', 'tray 2', 'fill it'],
    )
  })
})
