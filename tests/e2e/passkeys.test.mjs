// Passkeys in a real browser (headless Chromium, by playwright-core) with the authenticator that Chromium simulates: a page of an application, on an
// origin of its own, registers one and signs in with it, no account named. The page has the unmodified supabase-js; what that version has no
// call for yet goes by fetch, as docs/auth.md shows it.
//
// One server of ours, one of the page's; each test has a browser of its own. Absent: what hostile authenticators say (crates/auth, crates/server).

import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import path from 'node:path'
import { after, afterEach, before, test } from 'node:test'
import { CACHE, installed, start } from './harness.mjs'

const { chromium } = installed('playwright-core')

const PASSWORD = 'a long enough password'
const WAIT_MS_MAX = 10_000
// A closed network makes Chromium's own requests (updates, variations) fail, many at a time.
const FLAGS = ['--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync']

const CLIENT = readFileSync(path.join(CACHE, 'node/node_modules/@supabase/supabase-js/dist/umd/supabase.js'))

let pages
let origin
let server
let browser
let page
let device

before(async () => {
  // The page of the application: nothing but the client.
  pages = createServer((request, response) => {
    const isClient = request.url === '/supabase.js'
    response.writeHead(200, { 'content-type': isClient ? 'text/javascript' : 'text/html' })
    response.end(isClient ? CLIENT : '<!doctype html><title>app</title><script src="/supabase.js"></script>')
  })
  await new Promise((ready) => pages.listen(0, '127.0.0.1', ready))
  origin = `http://localhost:${pages.address().port}`
  server = await start('blog', (app) => {
    const settings = path.join(app, 'undergird.toml')
    writeFileSync(settings, `${readFileSync(settings, 'utf8')}\nsite_url = "${origin}/"\n`)
  })
  browser = await chromium.launch({ executablePath: process.env.E2E_CHROMIUM ?? '/usr/bin/chromium', chromiumSandbox: false, args: FLAGS })
})

afterEach(async () => {
  await page?.context().close()
})

after(async () => {
  await browser?.close()
  await server?.stop()
  pages?.close()
})

test('a passkey is registered and signs in where nobody is known', async () => {
  await open()
  await device.add()
  const user = await signUp('ann@example.com')
  const registered = await page.evaluate(() => register({ friendly_name: 'Laptop' }))
  assert.equal(registered.status, 200, JSON.stringify(registered))
  assert.equal(registered.body.friendly_name, 'Laptop')
  const [credential] = await device.credentials()
  assert.equal(Buffer.from(credential.userHandle, 'base64').toString(), user)
  assert.equal(credential.rpId, 'localhost')

  // Another visit: nothing is left but the device.
  await page.evaluate(() => api.auth.signOut())
  const session = await page.evaluate(() => signIn())
  assert.equal(session.status, 200, JSON.stringify(session))
  assert.equal(session.body.user.id, user)
  const told = claims(session.body.access_token)
  assert.equal(told.aal, 'aal1')
  assert.deepEqual(told.amr.map((each) => each.method), ['passkey'])
  // The client takes the session as it takes any other.
  const known = await page.evaluate(async ({ access_token, refresh_token }) => {
    await api.auth.setSession({ access_token, refresh_token })
    const renewed = await api.auth.refreshSession()
    return [(await api.auth.getUser()).data.user?.id, renewed.error]
  }, session.body)
  assert.deepEqual(known, [user, null])

  // The count of the device went on, and so it does the next time.
  assert.ok((await device.credentials())[0].signCount > 0)
  assert.equal((await page.evaluate(() => signIn())).status, 200)

  // The device has one for this account already, and makes no second one.
  const again = await page.evaluate(() => register({}).catch((error) => error.name))
  assert.equal(again, 'InvalidStateError')
})

test('each of a browser’s kinds of keys signs in', async () => {
  await open()
  for (const [algorithm, email] of [[-7, 'es256@example.com'], [-8, 'eddsa@example.com'], [-257, 'rs256@example.com']]) {
    await device.add()
    const user = await signUp(email)
    const made = await page.evaluate((algorithm) => register({}, (options) => {
      options.pubKeyCredParams = options.pubKeyCredParams.filter((each) => each.alg === algorithm)
    }), algorithm)
    assert.equal(made.status, 200, `${algorithm}: ${JSON.stringify(made)}`)
    const session = await page.evaluate(() => signIn())
    assert.equal(session.body.user?.id, user, `${algorithm}: ${JSON.stringify(session)}`)
    await device.remove()
  }
})

test('a device that does not verify its user, and a copy of a device, are refused', async () => {
  await open()
  await device.add()
  await signUp('eve@example.com')
  assert.equal((await page.evaluate(() => register({}))).status, 200)
  // The page may ask for less than the server did; the server does not take it.
  await device.verifies(false)
  const unverified = await page.evaluate(() => signIn((options) => (options.userVerification = 'discouraged')))
  assert.deepEqual([unverified.status, unverified.body.error_code], [400, 'webauthn_verification_failed'])
  await device.verifies(true)
  assert.equal((await page.evaluate(() => signIn())).status, 200)
  const [credential] = await device.credentials()
  assert.equal((await page.evaluate(() => signIn())).status, 200)
  // The copy counts on from where it was made.
  await device.remove()
  await device.add()
  await device.copy({ ...credential, signCount: 1 })
  const copied = await page.evaluate(() => signIn())
  assert.deepEqual([copied.status, copied.body.error_code], [400, 'webauthn_verification_failed'])
})

test('an answer is good once, and on this page alone', async () => {
  await open()
  await device.add()
  await signUp('bob@example.com')
  assert.equal((await page.evaluate(() => register({}))).status, 200)
  const [first, second] = await page.evaluate(async () => {
    const body = await answered()
    return [await post('passkeys/authentication/verify', body), await post('passkeys/authentication/verify', body)]
  })
  assert.deepEqual([first.status, second.status, second.body.error_code], [200, 400, 'webauthn_challenge_not_found'])
  // The same domain for the browser, but a page that is not ours.
  const elsewhere = createServer((_, response) => response.writeHead(200, { 'content-type': 'text/html' }).end('<!doctype html>'))
  await new Promise((ready) => elsewhere.listen(0, '127.0.0.1', ready))
  try {
    await page.goto(`http://localhost:${elsewhere.address().port}/`)
    await page.evaluate(HELPERS, [server.url, server.publishable])
    const stranger = await page.evaluate(() => signIn())
    assert.deepEqual([stranger.status, stranger.body.error_code], [400, 'webauthn_verification_failed'])
  } finally {
    elsewhere.close()
  }
})

test('an authenticator is a second factor, by the client’s own calls', async () => {
  await open()
  // What this client asks for by itself: a device of its own.
  await device.add({ transport: 'usb' })
  await signUp('cleo@example.com')
  const registered = await page.evaluate(async () => {
    const { data, error } = await api.auth.mfa.webauthn.register({ friendlyName: 'Key' })
    const level = await api.auth.mfa.getAuthenticatorAssuranceLevel()
    const factors = await api.auth.mfa.listFactors()
    return { error: error?.message, token: data?.access_token, level: level.data.currentLevel, factors: factors.data?.webauthn }
  })
  assert.equal(registered.error, undefined)
  assert.equal(registered.level, 'aal2')
  assert.deepEqual(registered.factors.map((factor) => [factor.friendly_name, factor.status]), [['Key', 'verified']])
  assert.deepEqual(claims(registered.token).amr.map((each) => each.method), ['mfa/webauthn', 'password'])
  const raised = await page.evaluate(async ([email, password, factorId]) => {
    await api.auth.signOut()
    await api.auth.signInWithPassword({ email, password })
    const before = (await api.auth.mfa.getAuthenticatorAssuranceLevel()).data
    const { error } = await api.auth.mfa.webauthn.authenticate({ factorId })
    const after = (await api.auth.mfa.getAuthenticatorAssuranceLevel()).data
    return [before.currentLevel, before.nextLevel, error?.message, after.currentLevel]
  }, ['cleo@example.com', PASSWORD, registered.factors[0].id])
  assert.deepEqual(raised, ['aal1', 'aal2', undefined, 'aal2'])
})

/** Opens the page as a new visitor, with a device that is not there yet. */
async function open() {
  const context = await browser.newContext()
  context.setDefaultTimeout(WAIT_MS_MAX)
  page = await context.newPage()
  await page.goto(`${origin}/`)
  await page.evaluate(HELPERS, [server.url, server.publishable])
  const devtools = await context.newCDPSession(page)
  await devtools.send('WebAuthn.enable')
  let id
  const options = { protocol: 'ctap2', transport: 'internal', hasResidentKey: true, hasUserVerification: true, isUserVerified: true, automaticPresenceSimulation: true }
  const of = (more) => ({ authenticatorId: id, ...more })
  device = {
    add: async (more) => ({ authenticatorId: id } = await devtools.send('WebAuthn.addVirtualAuthenticator', { options: { ...options, ...more } })),
    remove: () => devtools.send('WebAuthn.removeVirtualAuthenticator', of()),
    credentials: async () => (await devtools.send('WebAuthn.getCredentials', of())).credentials,
    copy: (credential) => devtools.send('WebAuthn.addCredential', of({ credential })),
    verifies: (isUserVerified) => devtools.send('WebAuthn.setUserVerified', of({ isUserVerified })),
  }
}

/** Signs up with the client; the id of the account. */
async function signUp(email) {
  const told = await page.evaluate(async ([email, password]) => {
    const { data, error } = await api.auth.signUp({ email, password })
    return { user: data.user?.id, error: error?.message }
  }, [email, PASSWORD])
  assert.equal(told.error, undefined)
  return told.user
}

function claims(token) {
  return JSON.parse(Buffer.from(token.split('.')[1], 'base64url').toString())
}

/** What the page's script knows: the client, and the calls that it has not yet. */
function HELPERS([url, key]) {
  window.api = window.supabase?.createClient(url, key)
  window.post = async (where, body) => {
    const token = (await window.api?.auth.getSession())?.data.session?.access_token ?? key
    const headers = { apikey: key, authorization: `Bearer ${token}`, 'content-type': 'application/json' }
    const response = await fetch(`${url}/auth/v1/${where}`, { method: 'POST', headers, body: JSON.stringify(body) })
    return { status: response.status, body: await response.json() }
  }
  window.register = async (more, change = () => {}) => {
    const begun = await post('passkeys/registration/options', {})
    if (begun.status !== 200) return begun
    change(begun.body.options)
    const publicKey = PublicKeyCredential.parseCreationOptionsFromJSON(begun.body.options)
    const credential = (await navigator.credentials.create({ publicKey })).toJSON()
    return post('passkeys/registration/verify', { challenge_id: begun.body.challenge_id, credential, ...more })
  }
  window.answered = async (change = () => {}) => {
    const { challenge_id, options } = (await post('passkeys/authentication/options', {})).body
    change(options)
    const publicKey = PublicKeyCredential.parseRequestOptionsFromJSON(options)
    return { challenge_id, credential: (await navigator.credentials.get({ publicKey })).toJSON() }
  }
  window.signIn = async (change) => post('passkeys/authentication/verify', await answered(change))
}
