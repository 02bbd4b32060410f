// Captchas: a verifier that this file starts is asked by the real binary, as hCaptcha and Turnstile are, and the unmodified
// @supabase/supabase-js sends the solutions and sees what it says.

import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import path from 'node:path'
import { after, before, test } from 'node:test'
import { installed, start } from './harness.mjs'

const { createClient } = installed('@supabase/supabase-js')
const PASSWORD = 'a long enough password'
const SECRET = 'ES_of-this-application&=+'

let verifier
let server
/** What was asked, as the form had it. */
let asked = []
/** Solutions that were used: each is good once. */
const used = new Set()
/** Instead of an answer, where set: [status, body]. */
let instead

before(async () => {
  verifier = createServer((request, response) => {
    const parts = []
    request.on('data', (part) => parts.push(part))
    request.on('end', () => {
      const form = Object.fromEntries(new URLSearchParams(Buffer.concat(parts).toString()))
      asked.push({ method: request.method, url: request.url, type: request.headers['content-type'], form })
      const isGood = form.secret === SECRET && form.response.startsWith('solved') && !used.has(form.response)
      used.add(form.response)
      const answer = isGood ? { success: true } : { success: false, 'error-codes': ['timeout-or-duplicate'] }
      const [status, body] = instead ?? [200, JSON.stringify(answer)]
      response.writeHead(status, { 'content-type': 'application/json' })
      response.end(body)
    })
  })
  await new Promise((done) => verifier.listen(0, '127.0.0.1', done))
  server = await start('blog', (app) => {
    const settings = path.join(app, 'undergird.toml')
    const captcha = `\n[auth.captcha]\nprovider = "turnstile"\nsecret = "${SECRET}"\nurl = "http://127.0.0.1:${verifier.address().port}/verify"\n`
    writeFileSync(settings, readFileSync(settings, 'utf8') + captcha)
  })
})
after(async () => {
  await server?.stop()
  verifier?.close()
})

const client = (key = server.publishable) => createClient(server.url, key, { auth: { persistSession: false, autoRefreshToken: false } })
const fresh = () => `u${randomBytes(6).toString('hex')}@example.com`
const solved = () => `solved+${randomBytes(6).toString('hex')}&=`
const told = ({ error }) => error && [error.status, error.code]
const REFUSED = [400, 'captcha_failed']

test('nobody signs up, signs in or has mail sent without a solution, and each is good once', async () => {
  const [api, email] = [client(), fresh()]
  const credentials = (captchaToken) => ({ email, password: PASSWORD, options: { captchaToken, data: { name: 'Ann' } } })
  const ways = {
    'sign-up': (captchaToken) => api.auth.signUp(credentials(captchaToken)),
    'sign-in': (captchaToken) => api.auth.signInWithPassword(credentials(captchaToken)),
    recovery: (captchaToken) => api.auth.resetPasswordForEmail(email, { captchaToken }),
    otp: (captchaToken) => api.auth.signInWithOtp({ email: fresh(), options: { captchaToken, data: { name: 'Ben' } } }),
    resend: (captchaToken) => api.auth.resend({ type: 'signup', email: fresh(), options: { captchaToken } }),
  }
  for (const [name, way] of Object.entries(ways)) {
    asked = []
    for (const nothing of [undefined, '', '  ']) assert.deepEqual(told(await way(nothing)), REFUSED, name)
    assert.deepEqual(asked, [], `${name}: nothing to verify`)
    assert.deepEqual(told(await way('guessed')), REFUSED, name)
    const solution = solved()
    assert.equal(told(await way(solution)), null, name)
    assert.deepEqual(told(await way(solution)), REFUSED, `${name}: used`)
    const [{ form, ...way_of_it }] = asked.slice(1)
    assert.deepEqual(way_of_it, { method: 'POST', url: '/verify', type: 'application/x-www-form-urlencoded' })
    assert.deepEqual(form, { secret: SECRET, response: solution, remoteip: '127.0.0.1' })
  }
  const { error } = await api.auth.signUp(credentials())
  assert.equal(error.message, 'captcha protection: request disallowed (no captcha_token found in request)')
})

test('the challenge of a passkey wants one as well', async () => {
  const ask = async (captcha_token) => {
    const answer = await fetch(`${server.url}/auth/v1/passkeys/authentication/options`, {
      method: 'POST',
      headers: { apikey: server.publishable, 'Content-Type': 'application/json' },
      body: JSON.stringify({ gotrue_meta_security: { captcha_token } }),
    })
    return [answer.status, (await answer.json()).error_code]
  }
  assert.deepEqual(await ask(undefined), REFUSED)
  assert.deepEqual(await ask('guessed'), REFUSED)
  const solution = solved()
  assert.deepEqual(await ask(solution), [200, undefined])
  assert.deepEqual(await ask(solution), REFUSED)
})

test('who is in stays in without one, and the application itself is not asked', async () => {
  const [api, email] = [client(), fresh()]
  const options = { captchaToken: solved(), data: { name: 'Ann' } }
  assert.equal(told(await api.auth.signUp({ email, password: PASSWORD, options })), null)
  asked = []
  assert.equal(told(await api.auth.refreshSession()), null)
  assert.equal(told(await api.auth.updateUser({ data: { name: 'Anna' } })), null)
  const owner = client(server.secret)
  assert.equal(told(await owner.auth.admin.createUser({ email: fresh(), password: PASSWORD, user_metadata: { name: 'Ben' } })), null)
  assert.equal(told(await owner.auth.signInWithPassword({ email, password: PASSWORD })), null)
  assert.deepEqual(asked, [])
})

test('a verifier that does not work lets nobody pass, and does not blame them', async () => {
  const way = (password = PASSWORD) =>
    client().auth.signInWithPassword({ email: fresh(), password, options: { captchaToken: solved() } })
  const secret = JSON.stringify({ success: false, 'error-codes': ['invalid-input-secret'] })
  for (const answer of [[500, ''], [200, 'yes'], [200, '{"success":"true"}'], [200, secret], [302, ''], [200, ' '.repeat(70_000)]]) {
    instead = answer
    const { error, data } = await way()
    assert.deepEqual([error?.status, data.session], [503, null], JSON.stringify(answer).slice(0, 80))
  }
  instead = undefined
  assert.deepEqual(told(await way()), [400, 'invalid_credentials'])
})

test('there are no sign-in pages that would be a way around it', async () => {
  for (const page of ['sign-in', 'sign-up', 'recover']) {
    assert.equal((await fetch(`${server.url}/auth/ui/${page}`)).status, 404, page)
  }
})
