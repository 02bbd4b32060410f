// The sign-in pages in a real browser (headless Chromium, by playwright-core) that runs no scripts, and the unmodified supabase-js that sends it there
// and takes what it comes back with: passwords, mails, recovery, second factors, a provider; wide and narrow, light and dark.
//
// The server listens on a port that is chosen before, since links of mails and providers lead back to its public address. Absent: what a browser
// would not do (`crates/server/tests/pages.rs`), other browsers. With E2E_SCREENSHOTS naming a folder, pages are kept there for a person to look at.

import assert from 'node:assert/strict'
import { createHmac } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import http from 'node:http'
import net from 'node:net'
import path from 'node:path'
import { after, afterEach, before, test } from 'node:test'
import { issuer } from './fake_providers.mjs'
import { installed, start } from './harness.mjs'

const { chromium } = installed('playwright-core')
const { createClient } = installed('@supabase/supabase-js')

const PASSWORD = 'a long enough password'
const OTHER = 'another long password'
const WAIT_MS_MAX = 10_000
const STEP_MS = 30_000
// A closed network makes Chromium's own requests (updates, variations) fail, many at a time.
const FLAGS = ['--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync']
const LOGO = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 8 8"><circle cx="4" cy="4" r="4" fill="#1f4f8f"/></svg>'

let site
let provider
let server
let browser
let context
let page
let api
// What went wrong on the pages.
let mistakes

before(async () => {
  site = await application()
  provider = await issuer({ who: { sub: '1', email: 'eve@example.com', email_verified: true, name: 'Eve' } })
  const port = await free()
  server = await start(
    'blog',
    (app) => {
      const settings = path.join(app, 'undergird.toml')
      const text = readFileSync(settings, 'utf8')
      assert.match(text, /^\[auth\]$/m)
      const auth = `[auth]\nconfirm_email = true\nredirect_urls = ["${site.url}/**"]\n`
      const ui = `\n[auth.ui]\ntitle = "The Blog"\nlogo = "logo.svg"\naccent = "#1f4f8f"\nstylesheet = "own.css"\nreturn_to = "${site.url}/start"\n`
      const own = `\n[auth.providers.own]\nclient_id = "blog"\nclient_secret = "hush"\nissuer = "${provider.url}"\n`
      writeFileSync(settings, `${text.replace(/^\[auth\]\n/m, auth)}${ui}${own}\n[server]\npublic_url = "http://127.0.0.1:${port}"\n`)
      writeFileSync(path.join(app, 'logo.svg'), LOGO)
      writeFileSync(path.join(app, 'own.css'), '.card { max-width: 26rem }\n')
    },
    { listen: `127.0.0.1:${port}` },
  )
  browser = await chromium.launch({ executablePath: process.env.E2E_CHROMIUM ?? '/usr/bin/chromium', chromiumSandbox: false, args: FLAGS })
})

afterEach(async (test) => {
  await keep(test.name)
  await context?.close()
})

after(async () => {
  await browser?.close()
  await server?.stop()
  provider?.close()
  site?.close()
})

test('sign up, confirm by the link of the mail, and be back in the application', async () => {
  await leave()
  await keep('sign-in')
  await page.getByRole('link', { name: 'Create an account' }).click()
  await page.getByLabel('E-mail address').fill('ann@example.com')
  await page.getByLabel('Password').fill('password')
  await page.getByRole('button', { name: 'Create account' }).click()
  await page.getByRole('alert').filter({ hasText: 'guessed first' }).waitFor()
  assert.equal(await page.getByLabel('E-mail address').inputValue(), 'ann@example.com')
  assert.equal(await page.getByLabel('Password').inputValue(), '')
  await keep('sign-up')
  await page.getByLabel('Password').fill(PASSWORD)
  await page.getByRole('button', { name: 'Create account' }).click()
  await page.getByRole('heading', { name: 'Look into your mail' }).waitFor()
  await page.goto((await mail('ann@example.com')).link)
  assert.equal((await arrive()).email, 'ann@example.com')
})

test('a wrong password, then the right one', async () => {
  await leave({ redirectTo: `${site.url}/in?from=here` })
  await page.getByLabel('E-mail address').fill('ann@example.com')
  await page.getByLabel('Password').fill('not the password')
  await page.getByRole('button', { name: 'Sign in', exact: true }).click()
  await page.getByRole('alert').filter({ hasText: 'is wrong' }).waitFor()
  assert.equal(await page.getByLabel('E-mail address').inputValue(), 'ann@example.com')
  await page.getByLabel('Password').fill(PASSWORD)
  await page.keyboard.press('Enter')
  const user = await arrive()
  assert.equal(user.email, 'ann@example.com')
  assert.equal(new URL(page.url()).searchParams.get('from'), 'here')
  // The session is a whole one: it is refreshed, and ends for good.
  assert.equal((await api.auth.refreshSession()).error, null)
  assert.equal((await api.auth.signOut()).error, null)
  // And the browser has nothing that would sign in once more.
  await page.goto(`${server.url}/auth/ui/account`)
  await page.getByRole('heading', { name: 'Sign in' }).waitFor()
})

test('by the code of a mail, without a password', async () => {
  await leave()
  await page.getByRole('link', { name: 'Sign in by e-mail' }).click()
  await page.getByLabel('E-mail address').fill('ann@example.com')
  await page.getByRole('button', { name: 'Send me a mail' }).click()
  await page.getByLabel('Code').fill('000000')
  await page.getByRole('button', { name: 'Continue', exact: true }).click()
  await page.getByRole('alert').filter({ hasText: 'is wrong' }).waitFor()
  await keep('code')
  await page.getByLabel('Code').fill((await mail('ann@example.com')).code)
  await page.getByRole('button', { name: 'Continue', exact: true }).click()
  assert.equal((await arrive()).email, 'ann@example.com')
})

test('a forgotten password is replaced', async () => {
  await leave()
  await page.getByRole('link', { name: 'Forgot your password?' }).click()
  await page.getByLabel('E-mail address').fill('ann@example.com')
  await page.getByRole('button', { name: 'Send me a mail' }).click()
  await page.getByRole('heading', { name: 'Look into your mail' }).waitFor()
  await page.goto((await mail('ann@example.com')).link)
  await page.getByLabel('New password').fill(OTHER)
  await keep('new-password')
  await page.getByRole('button', { name: 'Save password' }).click()
  assert.equal((await arrive()).email, 'ann@example.com')
  assert.equal((await client().auth.signInWithPassword({ email: 'ann@example.com', password: OTHER })).error, null)
})

test('a second factor is asked for: by the app, and by a recovery code', async () => {
  const own = client()
  const { error } = await own.auth.signInWithPassword({ email: 'ann@example.com', password: OTHER })
  assert.equal(error, null)
  const { data: factor } = await own.auth.mfa.enroll({ factorType: 'totp', friendlyName: 'Phone' })
  // Of the step before, so that the present one is good still.
  const started = await own.auth.mfa.challengeAndVerify({ factorId: factor.id, code: code(factor.totp.secret, -1) })
  assert.equal(started.error, null)
  const { session } = (await own.auth.getSession()).data
  const made = await fetch(`${server.url}/auth/v1/factors/recovery-codes`, {
    method: 'POST', headers: { authorization: `Bearer ${session.access_token}`, 'content-type': 'application/json' }, body: '{}',
  })
  const [recovery] = (await made.json()).codes
  await leave()
  await fillIn('ann@example.com', OTHER)
  await page.getByRole('heading', { name: 'Second step' }).waitFor()
  await keep('second-factor')
  await page.getByLabel('Code', { exact: true }).fill('000000')
  await page.getByRole('button', { name: 'Continue', exact: true }).click()
  await page.getByRole('alert').waitFor()
  await page.getByLabel('Code', { exact: true }).fill(code(factor.totp.secret))
  await page.getByRole('button', { name: 'Continue', exact: true }).click()
  await arrive()
  const { data: level } = await api.auth.mfa.getAuthenticatorAssuranceLevel()
  assert.equal(level.currentLevel, 'aal2')
  await context.close()
  await leave()
  await fillIn('ann@example.com', OTHER)
  await page.getByText('Lost your device?').click()
  await page.getByLabel('Recovery code').fill(recovery)
  await page.getByRole('button', { name: 'Use recovery code' }).click()
  await arrive()
})

test('by a provider', async () => {
  await leave()
  await page.getByRole('link', { name: 'Continue with Own' }).click()
  const user = await arrive()
  assert.equal(user.email, 'eve@example.com')
  assert.deepEqual(user.app_metadata.providers, ['own'])
})

test('a link that is followed in another browser says so', async () => {
  await leave()
  await page.getByRole('link', { name: 'Sign in by e-mail' }).click()
  await page.getByLabel('E-mail address').fill('eve@example.com')
  await page.getByRole('button', { name: 'Send me a mail' }).click()
  await page.getByRole('heading', { name: 'Look into your mail' }).waitFor()
  const { link } = await mail('eve@example.com')
  await context.close()
  await open()
  await page.goto(link)
  await page.getByRole('alert').filter({ hasText: 'another browser' }).waitFor()
})

test('who comes from nowhere sees who is signed in, signs out, and finds the application', async () => {
  await open()
  // By another name of this machine too: the cookie is of the public one.
  await page.goto(`${server.url.replace('127.0.0.1', 'localhost')}/auth/ui/sign-in`)
  assert.ok(page.url().startsWith(server.url))
  await page.getByRole('link', { name: 'Continue with Own' }).click()
  await page.getByText('eve@example.com').waitFor()
  await keep('account')
  assert.equal(await page.getByRole('link', { name: 'Go to the application' }).getAttribute('href'), `${site.url}/start`)
  await page.getByRole('button', { name: 'Sign out' }).click()
  await page.getByText('You are signed out.').waitFor()
  await page.goto(`${server.url}/auth/ui/account`)
  await page.getByRole('heading', { name: 'Sign in' }).waitFor()
})

test('an application without PKCE, or from elsewhere, gets nothing', async () => {
  api = client({ flowType: 'implicit' })
  await open()
  for (const redirectTo of [`${site.url}/in`, 'https://evil.example.org/']) {
    const { data } = await api.auth.signInWithOAuth({ provider: 'pages', options: { skipBrowserRedirect: true, redirectTo } })
    await page.goto(data.url)
    await page.getByRole('alert').filter({ hasText: 'PKCE' }).or(page.getByRole('alert').filter({ hasText: 'code_challenge' })).waitFor()
    assert.ok(page.url().startsWith(server.url))
  }
  api = client()
  const { data } = await api.auth.signInWithOAuth({ provider: 'pages', options: { skipBrowserRedirect: true, redirectTo: 'https://evil.example.org/' } })
  await page.goto(data.url)
  await page.getByRole('alert').filter({ hasText: 'redirect_urls' }).waitFor()
  assert.ok(page.url().startsWith(server.url))
  await keep('not-allowed')
})

test('every page fits a narrow window, and is of the application\'s colours', async () => {
  await open({ viewport: { width: 320, height: 640 }, colorScheme: 'dark' })
  for (const name of ['sign-in', 'sign-up', 'mail', 'recover', 'second-factor']) {
    await page.goto(`${server.url}/auth/ui/${name}`)
    // Scripts of the page itself are off; the test's own may measure.
    const wide = await page.evaluate(() => document.documentElement.scrollWidth)
    assert.ok(wide <= 320, `${name} is ${wide} pixels wide`)
    await keep(`narrow-${name}`)
  }
  await page.goto(`${server.url}/auth/ui/sign-in`)
  const colour = (name) => page.evaluate((name) => getComputedStyle(document.querySelector(name)).backgroundColor, name)
  assert.equal(await colour('button'), 'rgb(31, 79, 143)')
  assert.notEqual(await colour('body'), 'rgb(255, 255, 255)')
  // The application's own rules come last, and its picture is there.
  assert.equal(await page.evaluate(() => getComputedStyle(document.querySelector('.card')).maxWidth), '416px')
  assert.ok(await page.evaluate(() => document.querySelector('img.logo').naturalWidth > 0))
})

/** An application: any page of it says that one is there. */
function application() {
  const listening = http.createServer((request, response) => {
    response.writeHead(200, { 'content-type': 'text/html' }).end('<!doctype html><title>Application</title><link rel="icon" href="data:,"><h1>The application</h1>')
  })
  return new Promise((done) => {
    listening.listen(0, 'localhost', () => done({ url: `http://localhost:${listening.address().port}`, close: () => listening.close() }))
  })
}

/** A port that nobody has. */
function free() {
  const probe = net.createServer()
  return new Promise((done) => {
    probe.listen(0, '127.0.0.1', () => {
      const { port } = probe.address()
      probe.close(() => done(port))
    })
  })
}

function client(options = {}) {
  const kept = new Map()
  const storage = {
    getItem: (key) => kept.get(key) ?? null,
    setItem: (key, value) => void kept.set(key, value),
    removeItem: (key) => void kept.delete(key),
  }
  return createClient(server.url, server.publishable, { auth: { storage, autoRefreshToken: false, flowType: 'pkce', ...options } })
}

/** A new browser, as somebody's who has never been here. It runs no scripts. */
async function open(options = {}) {
  mistakes = []
  context = await browser.newContext({ viewport: { width: 1280, height: 800 }, javaScriptEnabled: false, ...options })
  context.setDefaultTimeout(WAIT_MS_MAX)
  page = await context.newPage()
  page.on('console', (message) => {
    // Chromium says a refused form so too, and asks for a favicon by itself.
    if (['error', 'warning'].includes(message.type()) && !/favicon|status of 4\d\d/.test(message.text() + message.location().url)) mistakes.push(message.text())
  })
  page.on('request', (request) => {
    const { origin } = new URL(request.url())
    if (![server.url, site.url, provider.url, server.url.replace('127.0.0.1', 'localhost')].includes(origin)) mistakes.push(`asked ${request.url()}`)
  })
}

/** A new browser, which a new client of the application sends to the pages. */
async function leave({ redirectTo = `${site.url}/in` } = {}) {
  await open()
  api = client()
  const { data, error } = await api.auth.signInWithOAuth({ provider: 'pages', options: { skipBrowserRedirect: true, redirectTo } })
  assert.equal(error, null)
  await page.goto(data.url)
  assert.equal(new URL(page.url()).pathname, '/auth/ui/sign-in')
}

async function fillIn(email, password) {
  await page.getByLabel('E-mail address').fill(email)
  await page.getByLabel('Password').fill(password)
  await page.getByRole('button', { name: 'Sign in', exact: true }).click()
}

/** Waits until the browser is back, and has the client take what it brings: once. */
async function arrive() {
  await page.getByRole('heading', { name: 'The application' }).waitFor()
  const url = new URL(page.url())
  assert.equal(url.origin + url.pathname + url.hash, `${site.url}/in`)
  assert.deepEqual(mistakes, [])
  const given = url.searchParams.get('code')
  const { data, error } = await api.auth.exchangeCodeForSession(given)
  assert.equal(error, null)
  const { data: row } = await api.from('users').select('id').eq('id', data.user.id)
  assert.equal(row.length, 1)
  return data.user
}

/** The newest mail to somebody. */
async function mail(to) {
  for (let tries = 0; tries < 100; tries += 1) {
    const mails = await (await fetch(`${server.url}/_/inbox`, { headers: { accept: 'application/json' } })).json()
    const found = mails.find((mail) => mail.to === to && !seen.has(mail.id))
    if (found) {
      seen.add(found.id)
      const lines = found.text.split('\n')
      return { link: lines.find((line) => line.startsWith('http')), code: lines.find((line) => /^\d{6}$/.test(line)) }
    }
    await new Promise((done) => setTimeout(done, 100))
  }
  assert.fail(`no mail to ${to}`)
}
const seen = new Set()

/** A code of an authenticator app (RFC 6238), of the present step or another. */
function code(secret, steps = 0) {
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'
  const bits = [...secret].map((char) => alphabet.indexOf(char).toString(2).padStart(5, '0')).join('')
  const key = Buffer.from(bits.match(/.{8}/g).map((byte) => parseInt(byte, 2)))
  const counter = Buffer.alloc(8)
  counter.writeBigUInt64BE(BigInt(Math.floor(Date.now() / STEP_MS) + steps))
  const mac = createHmac('sha1', key).update(counter).digest()
  const number = mac.readUInt32BE(mac[19] & 15) & 0x7fffffff
  return String(number % 1_000_000).padStart(6, '0')
}

/** Keeps a picture of the page, light and dark, if somebody wants some. */
async function keep(name) {
  const folder = process.env.E2E_SCREENSHOTS
  if (!folder || !page || page.isClosed()) return
  for (const colorScheme of ['light', 'dark']) {
    await page.emulateMedia({ colorScheme })
    await page.screenshot({ path: path.join(folder, `${name.replaceAll(/\W+/g, '-')}-${colorScheme}.png`) })
  }
}
