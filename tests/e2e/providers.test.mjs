// The unmodified @supabase/supabase-js signs in by a provider of OpenID Connect that this file starts: by redirects with and without PKCE, by
// ID tokens; links and unlinks; and is told what goes wrong.

import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { after, before, test } from 'node:test'
import { b64, hub, issuer } from './fake_providers.mjs'
import { installed, start } from './harness.mjs'

const { createClient } = installed('@supabase/supabase-js')
const PASSWORD = 'a long enough password'
const SITE = 'http://localhost:3000'

let own
let other
let github
let server

before(async () => {
  own = await issuer()
  other = await issuer({ always: true })
  github = await hub()
  server = await start('blog', (app) => {
    const settings = path.join(app, 'undergird.toml')
    const auth = `site_url = "${SITE}"\nredirect_urls = ["https://app.example.com/**"]\n`
    let text = readFileSync(settings, 'utf8')
    assert.match(text, /^\[auth\]$/m)
    text = text.replace(/^\[auth\]\n/m, `[auth]\n${auth}`)
    const provider = (name, url, more = '') => `\n[auth.providers.${name}]\nclient_id = "blog"\nclient_secret = "hush"\nissuer = "${url}"\n${more}`
    writeFileSync(settings, text + provider('own', own.url, 'audiences = ["phone"]\n') + provider('other', other.url) + provider('github', github.url))
  })
})
after(async () => {
  await server?.stop()
  for (const provider of [own, other, github]) provider?.close()
})

const client = (options = {}) => {
  const kept = new Map()
  const storage = {
    getItem: (key) => kept.get(key) ?? null,
    setItem: (key, value) => void kept.set(key, value),
    removeItem: (key) => void kept.delete(key),
  }
  return createClient(server.url, server.publishable, { auth: { storage, autoRefreshToken: false, ...options } })
}

/** A browser, as far as it matters: it keeps the cookies of this server. */
class Browser {
  jar = new Map()

  async open(url) {
    const cookie = [...this.jar].map(([name, value]) => `${name}=${value}`).join('; ')
    const answer = await fetch(url, { redirect: 'manual', headers: url.startsWith(server.url) && cookie ? { cookie } : {} })
    for (const set of url.startsWith(server.url) ? answer.headers.getSetCookie() : []) {
      const [name, value] = set.split(';')[0].split('=')
      this.jar.set(name, value)
    }
    return answer
  }

  /** Where a redirect leads. */
  async to(url) {
    const answer = await this.open(url)
    assert.ok([302, 303].includes(answer.status), `${answer.status} ${await answer.text()}`)
    return answer.headers.get('location')
  }

  /** From the client's URL by the provider's page to the application. */
  async signIn(url, who) {
    const page = await this.to(url)
    const callback = await this.to(`${page}&who=${encodeURIComponent(JSON.stringify(who))}`)
    return new URL(await this.to(this.here(callback)))
  }

  /** The server's own public address has the port that was asked for, not the one that it got. */
  here(url) {
    const { pathname, search } = new URL(url)
    return server.url + pathname + search
  }
}

const ann = (subject, email, more = {}) => ({ sub: subject, email, email_verified: true, name: 'Ann', ...more })
const fragment = (url) => new URLSearchParams(url.hash.slice(1))

async function withProvider(api, provider = 'own', options = {}) {
  const { data, error } = await api.auth.signInWithOAuth({ provider, options: { skipBrowserRedirect: true, ...options } })
  assert.equal(error, null)
  assert.ok(data.url.startsWith(`${server.url}/auth/v1/authorize?provider=${provider}`), data.url)
  return data.url
}

test('a redirect gives a session', async () => {
  const api = client()
  const landed = await new Browser().signIn(await withProvider(api), ann('1', 'ann@example.com'))
  assert.equal(landed.origin, SITE)
  const told = fragment(landed)
  const { data, error } = await api.auth.setSession({ access_token: told.get('access_token'), refresh_token: told.get('refresh_token') })
  assert.equal(error, null)
  assert.equal(data.user.email, 'ann@example.com')
  assert.deepEqual(data.user.app_metadata, { provider: 'own', providers: ['own'] })
  assert.equal(data.user.identities[0].provider, 'own')
  const claims = JSON.parse(Buffer.from(told.get('access_token').split('.')[1], 'base64url'))
  assert.equal(claims.amr[0].method, 'oauth')
  const rows = await api.from('users').select('name').eq('id', data.user.id)
  assert.deepEqual(rows.data, [{ name: 'Ann' }])
})

test('PKCE: the redirect gives a code that only this client can use', async () => {
  const api = client({ flowType: 'pkce' })
  const url = await withProvider(api, 'own', { redirectTo: 'https://app.example.com/welcome', scopes: 'calendar', queryParams: { prompt: 'login' } })
  const landed = await new Browser().signIn(url, ann('2', 'bob@example.com'))
  assert.equal(landed.origin + landed.pathname + landed.hash, 'https://app.example.com/welcome')
  assert.equal(own.last.prompt, 'login')
  assert.equal(own.last.scope, 'openid email profile calendar')
  const code = landed.searchParams.get('code')
  const thief = client({ flowType: 'pkce' })
  await withProvider(thief)
  const { data, error } = await api.auth.exchangeCodeForSession(code)
  assert.equal(error, null)
  assert.equal(data.user.email, 'bob@example.com')
  assert.ok((await thief.auth.exchangeCodeForSession(code)).error)
})

test('a redirect that is not allowed leads to the site', async () => {
  const url = await withProvider(client(), 'own', { redirectTo: 'https://evil.example.org/' })
  const landed = await new Browser().signIn(url, ann('1', 'ann@example.com'))
  assert.equal(landed.origin, SITE)
})

test('what goes wrong is told to the page', async () => {
  const browser = new Browser()
  const page = await browser.to(await withProvider(client()))
  const refused = new URL(await browser.to(browser.here(await browser.to(`${page}&refuse=access_denied`))))
  assert.equal(fragment(refused).get('error'), 'access_denied')
  assert.equal(refused.searchParams.get('error_code'), 'bad_oauth_callback')
  // Another browser, and twice.
  const callback = browser.here(await browser.to(`${await browser.to(await withProvider(client()))}&who=${encodeURIComponent(JSON.stringify(ann('1', 'ann@example.com')))}`))
  const stolen = new URL(await new Browser().to(callback))
  assert.equal(stolen.searchParams.get('error_code'), 'bad_oauth_state')
  assert.equal(new URL(await browser.to(callback)).searchParams.get('error_code'), 'bad_oauth_state')
  const unverified = await new Browser().signIn(await withProvider(client()), ann('3', 'new@example.com', { email_verified: false }))
  assert.equal(fragment(unverified).get('error_code'), 'provider_email_needs_verification')
  const unknown = await fetch(`${server.url}/auth/v1/authorize?provider=nobody`, { redirect: 'manual' })
  assert.equal(unknown.status, 400)
  assert.equal((await unknown.json()).msg, 'Unsupported provider: provider is not enabled')
})

test('looking at the links uses nothing up', async () => {
  const browser = new Browser()
  const url = await withProvider(client())
  assert.equal((await fetch(url, { method: 'HEAD' })).status, 200)
  const callback = browser.here(await browser.to(`${await browser.to(url)}&who=${encodeURIComponent(JSON.stringify(ann('1', 'ann@example.com')))}`))
  assert.equal((await fetch(callback, { method: 'HEAD' })).status, 200)
  assert.ok(fragment(new URL(await browser.to(callback))).get('access_token'))
})

test('a browser that knows this server by another name leaves by the public one', async () => {
  const url = (await withProvider(client())).replace('127.0.0.1', 'localhost')
  const browser = new Browser()
  const hop = await (await fetch(url, { redirect: 'manual' })).headers.get('location')
  assert.equal(new URL(hop).hostname, '127.0.0.1')
  const landed = await browser.signIn(browser.here(hop), ann('1', 'ann@example.com'))
  assert.ok(fragment(landed).get('access_token'))
})

test('one callback a hundred times gives one session', async () => {
  const browser = new Browser()
  const page = await browser.to(await withProvider(client()))
  const callback = browser.here(await browser.to(`${page}&who=${encodeURIComponent(JSON.stringify(ann('1', 'ann@example.com')))}`))
  const all = await Promise.all(Array.from({ length: 100 }, () => browser.to(callback)))
  assert.equal(all.filter((url) => url.includes('access_token=')).length, 1)
  assert.equal(own.exchanged.get(own.lastCode), 1)
})

test('a provider that always names itself must do so', async () => {
  const landed = await new Browser().signIn(await withProvider(client(), 'other'), ann('1', 'other@example.com'))
  assert.ok(fragment(landed).get('access_token'))
  const browser = new Browser()
  const page = await browser.to(await withProvider(client(), 'other'))
  const callback = new URL(browser.here(await browser.to(`${page}&who=${encodeURIComponent(JSON.stringify(ann('1', 'other@example.com')))}`)))
  callback.searchParams.set('iss', own.url)
  const mixed = new URL(await browser.to(callback.href))
  assert.equal(mixed.searchParams.get('error_code'), 'bad_oauth_callback')
})

test('a form that is posted', async () => {
  const browser = new Browser()
  const page = await browser.to(await withProvider(client()))
  const callback = new URL(browser.here(await browser.to(`${page}&who=${encodeURIComponent(JSON.stringify(ann('1', 'ann@example.com')))}`)))
  const cookie = [...browser.jar].map(([name, value]) => `${name}=${value}`).join('; ')
  const answer = await fetch(callback.origin + callback.pathname, { method: 'POST', body: callback.searchParams, redirect: 'manual', headers: { cookie } })
  assert.equal(answer.status, 303)
  assert.ok(answer.headers.get('location').includes('access_token='))
})

test('an ID token gives a session', async () => {
  const nonce = 'a nonce of the application'
  const hashed = createHash('sha256').update(nonce).digest('hex')
  const good = own.token({ ...ann('4', 'phone@example.com'), aud: 'phone', nonce: hashed })
  const api = client()
  const { data, error } = await api.auth.signInWithIdToken({ provider: 'own', token: good, nonce })
  assert.equal(error, null)
  assert.equal(data.user.email, 'phone@example.com')
  assert.ok(data.session)
  const who = ann('4', 'phone@example.com')
  for (const [why, credentials] of [
    ['another nonce', { token: good, nonce: 'another' }],
    ['a foreign audience', { token: own.token({ ...who, aud: 'somebody' }) }],
    ['a foreign issuer', { token: other.token({ ...who, aud: 'blog' }) }],
    ['expired', { token: own.token({ ...who, aud: 'blog', exp: 1000 }) }],
    ['no algorithm', { token: own.token({ ...who, aud: 'blog' }, { alg: 'none' }) }],
    ['a secret that everybody knows', { token: own.token({ ...who, aud: 'blog' }, { alg: 'HS256' }) }],
  ]) {
    const refused = await client().auth.signInWithIdToken({ provider: 'own', ...credentials })
    assert.equal(refused.error?.code, 'invalid_credentials', why)
    assert.equal(refused.error.status, 400, why)
  }
})

test('identities are linked and unlinked', async () => {
  for (const flowType of ['implicit', 'pkce']) {
    const api = client({ flowType })
    const email = `${flowType}@example.com`
    const { data: signedUp } = await api.auth.signUp({ email, password: PASSWORD, options: { data: { name: 'Eve' } } })
    assert.equal((await api.auth.unlinkIdentity(signedUp.user.identities[0])).error.code, 'single_identity_not_deletable')
    const linked = await api.auth.linkIdentity({ provider: 'own', options: { redirectTo: `${SITE}/me` } })
    assert.equal(linked.error, null)
    const browser = new Browser()
    const callback = await browser.to(`${linked.data.url}&who=${encodeURIComponent(JSON.stringify(ann(`link-${flowType}`, 'eve@example.net')))}`)
    const landed = new URL(await browser.to(browser.here(callback)))
    assert.equal(landed.pathname, '/me')
    const names = async () => (await api.auth.getUserIdentities()).data.identities.map((identity) => identity.provider).sort()
    if (flowType === 'pkce') {
      assert.deepEqual(await names(), ['email'], 'nothing is linked before the verifier was shown')
      assert.equal((await api.auth.exchangeCodeForSession(landed.searchParams.get('code'))).error, null)
    }
    assert.deepEqual(await names(), ['email', 'own'])
    const { data } = await api.auth.getUser()
    assert.deepEqual(data.user.app_metadata.providers, ['email', 'own'])
    assert.equal(data.user.email, email)
    // And signs in from now on.
    const again = await new Browser().signIn(await withProvider(client()), ann(`link-${flowType}`, 'eve@example.net'))
    const session = await client().auth.setSession({ access_token: fragment(again).get('access_token'), refresh_token: fragment(again).get('refresh_token') })
    assert.equal(session.data.user.id, data.user.id)
    const gone = data.user.identities.find((identity) => identity.provider === 'own')
    assert.equal((await api.auth.unlinkIdentity(gone)).error, null)
    assert.deepEqual(await names(), ['email'])
    assert.equal((await api.auth.unlinkIdentity(gone)).error.code, 'identity_not_found')
    const token = own.token({ ...ann(`token-${flowType}`, 'eve@example.net'), aud: 'blog' })
    assert.equal((await api.auth.linkIdentity({ provider: 'own', token })).error, null)
    assert.deepEqual(await names(), ['email', 'own'])
  }
})

test('an account that a stranger made is no trap', async () => {
  const stranger = client()
  const made = await stranger.auth.signUp({ email: 'victim@example.com', password: PASSWORD, options: { data: { name: 'Stranger' } } })
  assert.ok(made.data.session)
  const landed = await new Browser().signIn(await withProvider(client()), ann('victim', 'victim@example.com'))
  assert.ok(fragment(landed).get('access_token'))
  assert.equal((await client().auth.signInWithPassword({ email: 'victim@example.com', password: PASSWORD })).error.code, 'invalid_credentials')
  assert.ok((await stranger.auth.getUser()).error)
  assert.ok((await stranger.auth.refreshSession()).error)
})

test('GitHub, which speaks no OpenID Connect', async () => {
  const landed = await new Browser().signIn(await withProvider(client(), 'github'), { id: 7, login: 'octo', email: 'octo@example.com' })
  const { data } = await client().auth.setSession({ access_token: fragment(landed).get('access_token'), refresh_token: fragment(landed).get('refresh_token') })
  assert.equal(data.user.email, 'octo@example.com')
  assert.equal(data.user.user_metadata.user_name, 'octo')
})

test('the settings name the providers', async () => {
  const settings = await (await fetch(`${server.url}/auth/v1/settings`)).json()
  assert.deepEqual(
    [settings.external.own, settings.external.other, settings.external.github, settings.external.google],
    [true, true, true, undefined],
  )
})
