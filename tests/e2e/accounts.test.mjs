// Second factors and administration by the unmodified @supabase/supabase-js, and every kind of token in every place that takes one.
//
// Absent: what happens at the same moment and what time changes (crates/server/tests/accounts.rs).

import assert from 'node:assert/strict'
import { createHmac } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { after, before, describe, test } from 'node:test'
import { installed, start } from './harness.mjs'

const { createClient } = installed('@supabase/supabase-js')

const PASSWORD = 'a long enough password'
const STEP_MS = 30_000

let server
let admin

function client(key = server.publishable) {
  return createClient(server.url, key, { auth: { persistSession: false, autoRefreshToken: false } })
}

/** The data of an answer without error. */
function ok({ data, error }) {
  assert.equal(error, null, error && `${error.code}: ${error.message}`)
  return data
}

function fails({ data, error }, code, status) {
  assert.ok(error, `no error, but ${JSON.stringify(data)}`)
  assert.deepEqual([error.code, error.status], [code, status], error.message)
}

/** What clients make of `session_not_found`. */
function over({ error }) {
  assert.equal(error?.name, 'AuthSessionMissingError', error?.message)
}

let count = 0
async function person() {
  count += 1
  const api = client()
  const email = `person-${count}@example.com`
  const { user } = ok(await api.auth.signUp({ email, password: PASSWORD, options: { data: { name: 'Ann' } } }))
  return Object.assign(api, { id: user.id, given: { email, password: PASSWORD } })
}

/** The code of an authenticator app (RFC 6238), some steps from now. */
function code(secret, steps = 0) {
  const bits = [...secret].map((sign) => 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'.indexOf(sign).toString(2).padStart(5, '0')).join('')
  const key = Buffer.from(bits.match(/.{8}/g).map((octet) => Number.parseInt(octet, 2)))
  const counter = Buffer.alloc(8)
  counter.writeBigUInt64BE(BigInt(Math.floor(Date.now() / STEP_MS) + steps))
  const mac = createHmac('sha1', key).update(counter).digest()
  const number = mac.readUInt32BE(mac[19] & 15) & 0x7fffffff
  return String(number % 1_000_000).padStart(6, '0')
}

/** A factor in use; its `secret` too. */
async function enroll(api, friendlyName = 'Phone') {
  const { id, totp } = ok(await api.auth.mfa.enroll({ factorType: 'totp', friendlyName }))
  ok(await api.auth.mfa.challengeAndVerify({ factorId: id, code: code(totp.secret) }))
  return { id, secret: totp.secret }
}

before(async () => {
  server = await start('blog', (app) => {
    // Notes for those alone who proved a second factor.
    writeFileSync(
      path.join(app, 'models/vault.toml'),
      `[fields]
owner_id = { type = "uuid", default = { expr = "auth.id" } }
word = { type = "text" }
[access]
read = "owner_id == auth.id && auth.aal == 'aal2'"
create = "owner_id == auth.id && auth.aal == 'aal2'"
`,
    )
    assert.ok(readFileSync(path.join(app, 'undergird.toml'), 'utf8').includes('profile'))
  })
  admin = client(server.secret).auth.admin
})

after(() => server?.stop())

describe('mfa', () => {
  test('enroll, challenge, verify, and the levels', async () => {
    const api = await person()
    assert.deepEqual(ok(await api.auth.mfa.listFactors()), { all: [], totp: [], phone: [], webauthn: [] })
    const level = async () => {
      const { currentLevel, nextLevel, currentAuthenticationMethods } = ok(await api.auth.mfa.getAuthenticatorAssuranceLevel())
      return [currentLevel, nextLevel, ...currentAuthenticationMethods.map(({ method }) => method)]
    }
    assert.deepEqual(await level(), ['aal1', 'aal1', 'password'])
    assert.ok((await api.from('vault').insert({ word: 'no' })).error)
    const made = ok(await api.auth.mfa.enroll({ factorType: 'totp', friendlyName: 'Phone', issuer: 'Blog' }))
    assert.equal(made.type, 'totp')
    assert.equal(made.friendly_name, 'Phone')
    assert.match(made.totp.qr_code, /^data:image\/svg\+xml;utf-8,<\?xml[^#]*<\/svg>$/)
    assert.match(made.totp.uri, /^otpauth:\/\/totp\/Blog:person-\d+%40example\.com\?secret=[A-Z2-7]{32}&issuer=Blog$/)
    assert.equal(ok(await api.auth.mfa.listFactors()).all[0].status, 'unverified')
    const { id: challengeId, expires_at } = ok(await api.auth.mfa.challenge({ factorId: made.id }))
    assert.ok(expires_at > Date.now() / 1000 + 200)
    const right = code(made.totp.secret)
    const wrong = right === '123456' ? '654321' : '123456'
    fails(await api.auth.mfa.verify({ factorId: made.id, challengeId, code: wrong }), 'mfa_verification_failed', 422)
    const before = ok(await api.auth.getSession()).session
    const session = ok(await api.auth.mfa.verify({ factorId: made.id, challengeId, code: right }))
    assert.equal(session.user.factors[0].status, 'verified')
    assert.deepEqual(await level(), ['aal2', 'aal2', 'totp', 'password'])
    assert.equal(ok(await api.auth.mfa.listFactors()).totp[0].id, made.id)
    over(await client().auth.getUser(before.access_token))
    ok(await api.from('vault').insert({ word: 'yes' }))
    assert.deepEqual(ok(await api.from('vault').select('word')), [{ word: 'yes' }])

    // Again with the same code, and at the lower level.
    const other = client()
    ok(await other.auth.signInWithPassword(api.given))
    assert.deepEqual(ok(await other.from('vault').select('word')), [])
    const { currentLevel, nextLevel } = ok(await other.auth.mfa.getAuthenticatorAssuranceLevel())
    assert.deepEqual([currentLevel, nextLevel], ['aal1', 'aal2'])
    fails(await other.auth.mfa.challengeAndVerify({ factorId: made.id, code: right }), 'mfa_verification_failed', 422)
    fails(await other.auth.mfa.unenroll({ factorId: made.id }), 'insufficient_aal', 403)
    fails(await other.auth.mfa.enroll({ factorType: 'totp' }), 'insufficient_aal', 403)
    fails(await other.auth.updateUser({ password: 'another long password' }), 'insufficient_aal', 403)
    ok(await other.auth.mfa.challengeAndVerify({ factorId: made.id, code: code(made.totp.secret, 1) }))
    assert.deepEqual(ok(await other.from('vault').select('word')), [{ word: 'yes' }])

    assert.equal(ok(await api.auth.mfa.unenroll({ factorId: made.id })).id, made.id)
    ok(await api.auth.refreshSession())
    assert.deepEqual(await level(), ['aal1', 'aal1', 'password'])
    assert.deepEqual(ok(await api.from('vault').select('word')), [])
  })

  test('recovery codes, on the paths of newer clients', async () => {
    const api = await person()
    await enroll(api)
    const ask = async (of, method, tail = '', body = undefined) => {
      const { session } = ok(await of.auth.getSession())
      const answer = await fetch(`${server.url}/auth/v1/factors/recovery-codes${tail}`, {
        method,
        headers: { apikey: server.publishable, authorization: `Bearer ${session.access_token}`, 'content-type': 'application/json' },
        body: body && JSON.stringify(body),
      })
      return [answer.status, await answer.json()]
    }
    assert.equal((await ask(api, 'GET'))[1].error_code, 'mfa_factor_not_found')
    const [status, made] = await ask(api, 'POST')
    assert.equal(status, 200)
    assert.equal(made.codes.length, 10)
    for (const each of made.codes) assert.match(each, /^[a-z2-7]{16}$/)
    const other = client()
    ok(await other.auth.signInWithPassword(api.given))
    const [used, session] = await ask(other, 'POST', '/verify', { code: made.codes[0].toUpperCase() })
    assert.equal(used, 200)
    ok(await other.auth.setSession(session))
    assert.equal(ok(await other.auth.mfa.getAuthenticatorAssuranceLevel()).currentLevel, 'aal2')
    assert.equal((await ask(api, 'POST', '/verify', { code: made.codes[0] }))[1].error_code, 'mfa_verification_failed')
    assert.deepEqual(await ask(api, 'GET'), [200, { id: made.id, type: 'recovery_code', total: 10, remaining: 9 }])
    assert.equal(ok(await api.auth.mfa.listFactors()).all.length, 1)
  })
})

describe('auth.admin', () => {
  test('users: create, list, get, update, ban, delete', async () => {
    const email = 'made@example.com'
    const given = { email, password: PASSWORD, email_confirm: true, user_metadata: { name: 'Made' }, app_metadata: { roles: ['editor'] } }
    const { user } = ok(await admin.createUser(given))
    assert.deepEqual(user.app_metadata.roles, ['editor'])
    fails(await admin.createUser(given), 'email_exists', 422)
    assert.equal(ok(await admin.getUserById(user.id)).user.email, email)
    const listed = ok(await admin.listUsers({ page: 1, perPage: 1 }))
    assert.equal(listed.users[0].id, user.id)
    assert.equal(listed.nextPage, 2)
    assert.equal(listed.total, listed.lastPage)
    const api = client()
    ok(await api.auth.signInWithPassword({ email, password: PASSWORD }))
    const { error } = await admin.updateUserById(user.id, { role: 'service_role' })
    assert.equal(error.code, 'validation_failed')
    const changed = ok(await admin.updateUserById(user.id, { ban_duration: '24h', user_metadata: { name: 'Other' } })).user
    assert.equal(changed.user_metadata.name, 'Other')
    assert.ok(Date.parse(changed.banned_until) > Date.now())
    over(await api.auth.getUser())
    fails(await api.auth.signInWithPassword({ email, password: PASSWORD }), 'user_banned', 400)
    ok(await admin.updateUserById(user.id, { ban_duration: 'none' }))
    ok(await api.auth.signInWithPassword({ email, password: PASSWORD }))
    assert.equal(ok(await admin.deleteUser(user.id)).user.id, user.id)
    over(await api.auth.getUser())
    fails(await admin.getUserById(user.id), 'user_not_found', 404)
  })

  test('signOut ends the sessions of a token, mfa removes a lost factor', async () => {
    const api = await person()
    const { id } = await enroll(api)
    assert.deepEqual(ok(await admin.mfa.listFactors({ userId: api.id })).factors.map((factor) => factor.id), [id])
    // This client wraps its answer twice.
    assert.equal(ok(await admin.mfa.deleteFactor({ userId: api.id, id })).data.id, id)
    assert.deepEqual(ok(await admin.mfa.listFactors({ userId: api.id })).factors, [])
    const other = client()
    const { session } = ok(await other.auth.signInWithPassword(api.given))
    ok(await admin.signOut(session.access_token, 'global'))
    over(await other.auth.getUser())
  })
})

test('every kind of token in every place that takes one', async () => {
  const api = await person()
  const { session: low } = ok(await api.auth.getSession())
  const raised = await person()
  await enroll(raised)
  const { session: high } = ok(await raised.auth.getSession())
  const ended = await person()
  const { session: gone } = ok(await ended.auth.getSession())
  ok(await ended.auth.signOut())
  const [head, body] = low.access_token.split('.')
  const none = `${Buffer.from('{"alg":"none","typ":"JWT"}').toString('base64url')}.${body}.`
  const tokens = {
    nothing: undefined,
    publishable: server.publishable,
    secret: server.secret,
    aal1: low.access_token,
    aal2: high.access_token,
    ended: gone.access_token,
    refresh: low.refresh_token,
    unsigned: none,
    cut: `${head}.${body}`,
  }
  // Per place, what each of these is answered: 401 where nothing else is said.
  const places = [
    ['GET', '/rest/v1/posts?limit=1', { nothing: 200, publishable: 200, secret: 200, aal1: 200, aal2: 200 }],
    ['GET', '/rest/v1/vault?limit=1', { nothing: 200, publishable: 200, secret: 200, aal1: 200, aal2: 200 }],
    ['GET', '/auth/v1/user', { aal1: 200, aal2: 200 }],
    ['GET', '/auth/v1/sessions', { aal1: 200, aal2: 200 }],
    ['GET', '/auth/v1/factors/recovery-codes', { aal1: 404, aal2: 404 }],
    ['DELETE', '/auth/v1/factors/00000000-0000-4000-8000-000000000000', { aal1: 404, aal2: 404 }],
    ['GET', '/auth/v1/admin/users', { secret: 200, aal1: 403, aal2: 403 }],
    ['DELETE', '/auth/v1/admin/users/00000000-0000-4000-8000-000000000000', { secret: 404, aal1: 403, aal2: 403 }],
    ['GET', '/metrics', { secret: 200, aal1: 403, aal2: 403 }],
  ]
  for (const [method, path, expected] of places) {
    for (const [kind, token] of Object.entries(tokens)) {
      const headers = token ? { authorization: `Bearer ${token}` } : {}
      const { status } = await fetch(server.url + path, { method, headers })
      assert.equal(status, expected[kind] ?? 401, `${method} ${path} with ${kind}`)
    }
  }
  // Where a token goes into the body: none but a refresh token is one.
  for (const [kind, token] of Object.entries(tokens)) {
    if (kind === 'refresh' || !token) continue
    const answer = await fetch(`${server.url}/auth/v1/token?grant_type=refresh_token`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ refresh_token: token }),
    })
    assert.equal((await answer.json()).error_code, 'refresh_token_not_found', kind)
  }
})
