// Hooks: a server that this file starts is asked by the real binary, with signatures that it verifies, and the unmodified
// @supabase/supabase-js sees what it says.

import assert from 'node:assert/strict'
import { createHmac, randomBytes } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import path from 'node:path'
import { after, before, test } from 'node:test'
import { installed, start } from './harness.mjs'

const { createClient } = installed('@supabase/supabase-js')
const PASSWORD = 'a long enough password'
const SECRETS = [randomBytes(32), randomBytes(24)]

let hook
let server
/** What each hook answers: a function of what it is told, that gives [status, body, headers]. */
let says
/** What was asked. */
let asked = []

before(async () => {
  hook = createServer((request, response) => {
    const parts = []
    request.on('data', (part) => parts.push(part))
    request.on('end', () => {
      const body = Buffer.concat(parts).toString()
      const of = (name) => request.headers[`webhook-${name}`]
      const signed = `${of('id')}.${of('timestamp')}.${body}`
      const signatures = SECRETS.map((secret) => `v1,${createHmac('sha256', secret).update(signed).digest('base64')}`)
      const isGood = of('signature') === signatures.join(' ') && Math.abs(of('timestamp') - Date.now() / 1000) < 300
      const told = JSON.parse(body)
      asked.push({ url: request.url, isGood, told })
      const [status, answer, headers = {}] = says(request.url.slice(1), told)
      response.writeHead(status, { 'content-type': 'application/json', ...headers })
      response.end(typeof answer === 'string' ? answer : JSON.stringify(answer))
    })
  })
  await new Promise((done) => hook.listen(0, '127.0.0.1', done))
  const url = `http://127.0.0.1:${hook.address().port}`
  const secrets = SECRETS.map((secret) => `v1,whsec_${secret.toString('base64')}`).join('|')
  server = await start('blog', (app) => {
    const settings = path.join(app, 'undergird.toml')
    const one = (name) => `\n[auth.hooks.${name}]\nurl = "${url}/${name}"\nsecrets = "${secrets}"\n`
    writeFileSync(settings, readFileSync(settings, 'utf8') + one('before_user_created') + one('custom_access_token'))
  })
})
after(async () => {
  await server?.stop()
  hook?.close()
})

const client = () => createClient(server.url, server.publishable, { auth: { persistSession: false, autoRefreshToken: false } })
const yes = (name, told) => [200, name === 'custom_access_token' ? { claims: told.claims } : {}]
const claimsOf = (session) => JSON.parse(Buffer.from(session.access_token.split('.')[1], 'base64url').toString())
const fresh = () => `u${randomBytes(6).toString('hex')}@example.com`
const signUp = (api, email) => api.auth.signUp({ email, password: PASSWORD, options: { data: { name: 'Ann' } } })

test('claims of a hook are in the tokens of a sign-up, a sign-in and a refresh', async () => {
  says = (name, told) =>
    name === 'custom_access_token' ? [200, { claims: { ...told.claims, plan: 'gold' } }] : [204, '']
  asked = []
  const [api, email] = [client(), fresh()]
  const { data, error } = await signUp(api, email)
  assert.equal(error, null)
  assert.equal(claimsOf(data.session).plan, 'gold')
  const again = await api.auth.signInWithPassword({ email, password: PASSWORD })
  assert.equal(claimsOf(again.data.session).plan, 'gold')
  const next = await api.auth.refreshSession()
  assert.equal(claimsOf(next.data.session).plan, 'gold')
  const user = await api.auth.getUser()
  assert.equal(user.data.user.email, email)
  assert.deepEqual(
    asked.map(({ url, told }) => [url, told.metadata.name, told.authentication_method]),
    [
      ['/before_user_created', 'before-user-created', undefined],
      ['/custom_access_token', 'customize-access-token', 'password'],
      ['/custom_access_token', 'customize-access-token', 'password'],
      ['/custom_access_token', 'customize-access-token', 'token_refresh'],
    ],
  )
  assert.ok(asked.every(({ isGood }) => isGood), 'a signature is not good')
  assert.equal(asked[0].told.user.email, email)
  assert.equal(asked[0].told.metadata.ip_address, '127.0.0.1')
})

test('a sign-up that a hook refuses is refused in its words, and never was', async () => {
  says = () => [200, { error: { http_code: 422, message: 'Only people of example.org' } }]
  const [api, email] = [client(), fresh()]
  const { data, error } = await signUp(api, email)
  assert.equal(data.user, null)
  assert.deepEqual([error.status, error.code, error.message], [422, 'hook_refused', 'Only people of example.org'])
  says = yes
  const known = await api.auth.signInWithPassword({ email, password: PASSWORD })
  assert.equal(known.error.code, 'invalid_credentials')
  assert.equal((await signUp(api, email)).error, null)
})

test('a hook that fails refuses, is asked once, is not followed elsewhere, and costs nobody a session', async () => {
  says = yes
  const [api, email] = [client(), fresh()]
  const { data } = await signUp(api, email)
  const claims = (told, more) => [200, { claims: { ...told.claims, ...more } }]
  const bad = {
    'a redirect': () => [307, '', { location: '/elsewhere' }],
    'an error of the server': () => [500, { error: { message: 'no' } }],
    'no JSON': () => [200, '<html>'],
    'more than is read': () => [200, JSON.stringify({ claims: {}, much: 'x'.repeat(300_000) })],
    'another level': (name, told) => claims(told, { aal: 'aal2' }),
    'another user': (name, told) => claims(told, { sub: '00000000-0000-0000-0000-000000000000' }),
    'another role': (name, told) => claims(told, { role: 'service_role' }),
    'a longer life': (name, told) => claims(told, { exp: told.claims.exp + 1 }),
  }
  const refresh = () =>
    fetch(`${server.url}/auth/v1/token?grant_type=refresh_token`, {
      method: 'POST',
      headers: { apikey: server.publishable, 'content-type': 'application/json' },
      body: JSON.stringify({ refresh_token: data.session.refresh_token }),
    })
  for (const [what, answer] of Object.entries(bad)) {
    says = answer
    asked = []
    const refused = await refresh()
    const { error_code: code, msg } = await refused.json()
    assert.equal(refused.status, 503, what)
    assert.equal(code, what === 'more than is read' ? 'hook_payload_over_size_limit' : 'unexpected_failure', what)
    assert.ok(refused.headers.get('retry-after') && !/aal|sub|html/.test(msg), `${what}: ${msg}`)
    assert.equal(asked.length, 1, what)
  }
  says = yes
  assert.equal((await refresh()).status, 200)
})
