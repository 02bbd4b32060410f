// The page at /docs in a real browser (headless Chromium, by playwright-core) against examples/blog: it loads without a mistake and from this
// server alone, lists every operation, and sends one; what descriptions and rows say is shown and never run.
//
// One server, whose definition has markup in its descriptions; each test opens the page anew. Absent: other browsers, and how the page looks.
// With E2E_SCREENSHOTS naming a folder, each page is kept there as it was at the end, for a person to look at.

import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { after, afterEach, before, test } from 'node:test'
import { installed, start } from './harness.mjs'

const { chromium } = installed('playwright-core')

// It would run when any text became markup: by its handler, and by asking the server for its picture.
const CANARY = '<img src=/canary onerror="window.canary = true">'
const WAIT_MS_MAX = 10_000
// A closed network makes Chromium's own requests (updates, variations) fail, many at a time.
const FLAGS = ['--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync']

let server
let browser
let page
// What went wrong on the page, and what it asked for.
let mistakes
let requests

before(async () => {
  server = await start('blog', (app) => {
    const posts = path.join(app, 'models/posts.toml')
    const told = readFileSync(posts, 'utf8')
    const changed = told
      .replace('description = "Articles, written by users."', `description = 'Articles ${CANARY}'`)
      .replace('title        = { type = "text",', `title        = { type = "text", description = 'Headline ${CANARY}',`)
    assert.equal(changed.split(CANARY).length, 3, 'examples/blog/models/posts.toml is no longer what this test changes')
    writeFileSync(posts, changed)
  })
  await publish({ title: `Found ${CANARY}`, slug: 'found', body: 'Some text' })
  browser = await chromium.launch({ executablePath: process.env.E2E_CHROMIUM ?? '/usr/bin/chromium', chromiumSandbox: false, args: FLAGS })
})

afterEach(async (context) => {
  const folder = process.env.E2E_SCREENSHOTS
  if (folder) await page?.screenshot({ path: path.join(folder, `${context.name.replaceAll(/\W+/g, '-')}.png`), fullPage: true })
  await page?.context().close()
})

after(async () => {
  await browser?.close()
  await server?.stop()
})

test('the page loads from this server alone and lists every operation', async () => {
  await open()
  const document = await (await fetch(`${server.url}/openapi.json`)).json()
  const ids = Object.values(document.paths).flatMap((item) => Object.values(item).map((operation) => operation.operationId))
  assert.ok(ids.length > 20, `only ${ids.length} operations`)
  const listed = await page.locator('#list a').evaluateAll((links) => links.map((link) => decodeURIComponent(link.hash.slice(1))))
  assert.deepEqual(listed.sort(), ids.sort())
  await sound()
  assert.deepEqual(requests.map((request) => new URL(request.url()).pathname), ['/docs', '/openapi.json'])
})

test('the search leaves what fits', async () => {
  await open()
  await page.locator('#search').fill('comments create')
  assert.deepEqual(await page.locator('#list a').evaluateAll((links) => links.map((link) => link.hash)), ['#comments.create'])
  await page.locator('#search').press('Enter')
  await page.locator('main .path', { hasText: 'POST/rest/v1/comments' }).waitFor()
  await sound()
})

test('an operation is tried with the publishable key, and its answer is shown', async () => {
  await open()
  await useKey()
  await page.locator('#list a[href="#posts.list"]').click()
  await page.locator('[id="p-posts.list-query-select"]').fill('title,slug')
  await page.getByRole('button', { name: 'Send' }).click()
  await page.locator('.answer .status').waitFor()
  assert.match(await page.locator('.answer .status').textContent(), /^200\b/)
  const rows = JSON.parse(await page.locator('.answer pre[aria-label="Body"]').textContent())
  assert.deepEqual(rows, [{ title: `Found ${CANARY}`, slug: 'found' }])
  const sent = requests.at(-1)
  assert.equal(sent.url(), `${server.url}/rest/v1/posts?select=title,slug`)
  assert.equal(sent.headers().apikey, server.publishable)
  assert.match(await page.locator('pre[aria-label="Code"]').textContent(), /^curl 'http.*\/rest\/v1\/posts\?select=title,slug'/)
  await sound()
})

test('a user signs up on the page, writes a row, and a refusal is shown as one', async () => {
  await open()
  await page.locator('#who').click()
  await page.locator('#d-key').fill(server.publishable)
  await page.locator('#d-email').fill('eve@example.com')
  await page.locator('#d-password').fill('a long enough password')
  await page.getByRole('button', { name: 'Sign up' }).click()
  await page.locator('#who', { hasText: 'eve@example.com' }).waitFor()
  await page.locator('#list a[href="#posts.create"]').click()
  await page.locator('[id="body-posts.create"]').fill('{"title": "By Eve", "slug": "by-eve"}')
  await page.getByRole('button', { name: 'Send' }).click()
  await page.locator('.answer .status', { hasText: '201' }).waitFor()
  await sound()
  await page.getByRole('button', { name: 'Send' }).click()
  await page.locator('.answer .status', { hasText: '409' }).waitFor()
  assert.match(await page.locator('.answer pre[aria-label="Body"]').textContent(), /"23505"/)
})

// Without the page's policy, so that its own care is what holds, and then with it.
for (const bypassCSP of [true, false]) {
  test(`markup in a description is shown and not run, ${bypassCSP ? 'even without' : 'with'} the policy`, async () => {
    await open({ bypassCSP })
    await page.locator('main .card', { hasText: `Articles ${CANARY}` }).waitFor()
    await useKey()
    await page.locator('#list a[href="#posts.create"]').click()
    await page.locator('main dd', { hasText: `Headline ${CANARY}` }).first().waitFor()
    await page.locator('#list a[href="#posts.list"]').click()
    await page.getByRole('button', { name: 'Send' }).click()
    await page.locator('.answer pre', { hasText: 'onerror' }).waitFor()
    await sound()
  })
}

/** Opens the page as a new visitor and waits until it has read the document. */
async function open(options = {}) {
  mistakes = []
  requests = []
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, ...options })
  context.setDefaultTimeout(WAIT_MS_MAX)
  page = await context.newPage()
  page.on('console', (message) => {
    const where = message.location().url
    // Chromium itself asks for it where the policy does not forbid pictures.
    if (options.bypassCSP && where === `${server.url}/favicon.ico`) return
    if (['error', 'warning'].includes(message.type())) mistakes.push(`${message.type()}: ${message.text()} (${where})`)
  })
  page.on('pageerror', (error) => mistakes.push(`uncaught: ${error.message}`))
  page.on('requestfailed', (request) => mistakes.push(`failed: ${request.url()} ${request.failure()?.errorText}`))
  context.on('request', (request) => requests.push(request))
  const response = await page.goto(`${server.url}/docs`)
  assert.equal(response.status(), 200)
  await page.locator('#list a').first().waitFor()
}

async function useKey() {
  await page.locator('#who').click()
  await page.locator('#d-key').fill(server.publishable)
  await page.getByRole('button', { name: 'Use this key' }).click()
  await page.locator('#who', { hasText: 'With a key' }).waitFor()
}

/** Nothing went wrong, nothing was asked of others, and no markup came to be. */
async function sound() {
  // A picture's failure comes in a later task than its making.
  await page.evaluate(() => new Promise((done) => setTimeout(done, 100)))
  assert.deepEqual(mistakes, [])
  assert.deepEqual(requests.map((request) => request.url()).filter((url) => new URL(url).origin !== server.url || url.endsWith('/canary')), [])
  assert.equal(await page.evaluate(() => document.images.length), 0)
  assert.equal(await page.evaluate(() => window.canary), undefined)
}

/** A published post of a new user. */
async function publish(row) {
  const send = async (where, headers, body) => {
    const init = { method: 'POST', headers: { apikey: server.publishable, 'content-type': 'application/json', ...headers }, body: JSON.stringify(body) }
    const response = await fetch(server.url + where, init)
    assert.ok(response.ok, `${where}: ${response.status} ${await response.clone().text()}`)
    return response
  }
  const session = await (await send('/auth/v1/signup', {}, { email: 'ann@example.com', password: 'a long enough password' })).json()
  await send('/rest/v1/posts', { authorization: `Bearer ${session.access_token}` }, { status: 'published', ...row })
}
