// The unmodified @supabase/supabase-js asks for mails and uses what is in them: recovery, one-time codes, magic links, confirmations, PKCE,
// invitations, anonymous users. The mails go by SMTP to a server of a few lines that this file starts.

import assert from 'node:assert/strict'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import net from 'node:net'
import path from 'node:path'
import { after, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { installed, start } from './harness.mjs'

const { createClient } = installed('@supabase/supabase-js')
const PASSWORD = 'a long enough password'
const SITE = 'http://localhost:3000'
const PUBLIC = 'http://api.example.com'

let sink
let server

before(async () => {
  sink = await smtp()
  server = await begin()
})

/** A server whose mails go to the sink. */
const begin = (more = '') =>
  start('blog', (app) => {
    const settings = path.join(app, 'undergird.toml')
    const auth = `confirm_email = true\nanonymous = true\nsite_url = "${SITE}"\nredirect_urls = ["https://app.example.com/**"]\n${more}`
    const mail = `\n[server]\npublic_url = "${PUBLIC}"\n\n[mail]\nhost = "127.0.0.1"\nport = ${sink.port}\ntls = "none"\nfrom = "The Blog <no-reply@example.com>"\n`
    let text = readFileSync(settings, 'utf8')
    assert.match(text, /^\[auth\]$/m)
    text = text.replace(/^confirm_email.*\n/m, '').replace(/^\[auth\]\n/m, `[auth]\n${auth}`)
    writeFileSync(settings, text + mail)
    mkdirSync(path.join(app, 'mail'))
    writeFileSync(path.join(app, 'mail/invite.txt'), 'Subject: Come to {{ app }}\n\nDear {{ email }},\n\n{{ link }}\n')
  })

after(async () => {
  await server?.stop()
  sink?.close()
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

/** An account with a confirmed address, signed in. */
async function member(email) {
  const api = client()
  const { data, error } = await api.auth.signUp({ email, password: PASSWORD, options: { data: { name: 'Ann' } } })
  assert.equal(error, null)
  assert.equal(data.session, null)
  const { code } = await sink.mail(email)
  const verified = await api.auth.verifyOtp({ email, token: code, type: 'signup' })
  assert.equal(verified.error, null)
  assert.ok(verified.data.session)
  return api
}

/** The same link at this server: its public address is another. */
const here = (link) => link.replace(PUBLIC, server.url)

/** Where a link leads. */
async function follow(link) {
  assert.ok(link.startsWith(`${PUBLIC}/auth/v1/verify?`), link)
  const answer = await fetch(here(link), { redirect: 'manual' })
  assert.equal(answer.status, 303)
  return new URL(answer.headers.get('location'))
}

test('a sign-up has no session until it is confirmed', async () => {
  const api = client()
  const email = 'new@example.com'
  await api.auth.signUp({ email, password: PASSWORD, options: { data: { name: 'New' } } })
  const refused = await api.auth.signInWithPassword({ email, password: PASSWORD })
  assert.equal(refused.error.code, 'email_not_confirmed')
  const mail = await sink.mail(email)
  assert.match(mail.headers, /^From: "?The Blog"? <no-reply@example\.com>\r?$/m)
  assert.match(mail.headers, /^Auto-Submitted: auto-generated\r?$/m)
  // Looking at it uses nothing up.
  assert.equal((await fetch(here(mail.link), { method: 'HEAD' })).status, 200)
  const landed = await follow(mail.link)
  assert.equal(landed.origin, SITE)
  const told = new URLSearchParams(landed.hash.slice(1))
  assert.equal(told.get('type'), 'signup')
  const session = await api.auth.setSession({ access_token: told.get('access_token'), refresh_token: told.get('refresh_token') })
  assert.equal(session.data.user.email, email)
  const again = new URLSearchParams((await follow(mail.link)).hash.slice(1))
  assert.equal(again.get('error_code'), 'otp_expired')
  assert.equal((await api.auth.signInWithPassword({ email, password: PASSWORD })).error, null)
})

test('a forgotten password', async () => {
  await member('forgetful@example.com')
  const api = client()
  const redirectTo = 'https://app.example.com/reset'
  assert.equal((await api.auth.resetPasswordForEmail('forgetful@example.com', { redirectTo })).error, null)
  const { link, token } = await sink.mail('forgetful@example.com')
  assert.ok(link.startsWith(`${PUBLIC}/auth/v1/verify?`))
  assert.equal(new URL(link).searchParams.get('redirect_to'), redirectTo)
  const { data, error } = await api.auth.verifyOtp({ token_hash: token, type: 'recovery' })
  assert.equal(error, null)
  assert.equal(data.user.email, 'forgetful@example.com')
  assert.equal((await api.auth.updateUser({ password: 'quite another password' })).error, null)
  assert.equal((await client().auth.signInWithPassword({ email: 'forgetful@example.com', password: PASSWORD })).error.code, 'invalid_credentials')
  assert.equal((await client().auth.signInWithPassword({ email: 'forgetful@example.com', password: 'quite another password' })).error, null)
  const used = await api.auth.verifyOtp({ token_hash: token, type: 'recovery' })
  assert.equal(used.error.code, 'otp_expired')
  assert.equal(used.error.status, 403)
})

test('an unknown address is answered like a known one', async () => {
  await member('known@example.com')
  const api = client()
  for (const email of ['known@example.com', 'unknown@example.com']) {
    assert.deepEqual(await api.auth.resetPasswordForEmail(email), { data: {}, error: null })
    const otp = await api.auth.signInWithOtp({ email, options: { shouldCreateUser: false } })
    assert.deepEqual([otp.error, otp.data.user, otp.data.session], [null, null, null])
    assert.equal((await api.auth.resend({ email, type: 'signup' })).error, null)
  }
  const refused = await api.auth.verifyOtp({ email: 'unknown@example.com', token: '123456', type: 'email' })
  assert.equal(refused.error.code, 'otp_expired')
})

test('signing in by a code makes the account', async () => {
  const api = client()
  const email = 'coded@example.com'
  const asked = await api.auth.signInWithOtp({ email, options: { data: { name: 'Coded' } } })
  assert.equal(asked.error, null)
  const { code } = await sink.mail(email)
  const { data, error } = await api.auth.verifyOtp({ email, token: code, type: 'email' })
  assert.equal(error, null)
  assert.equal(data.user.user_metadata.name, 'Coded')
  assert.equal((await api.auth.getUser()).data.user.email, email)
})

test('PKCE: the link gives a code that only this client can use', async () => {
  await member('flow@example.com')
  const api = client({ flowType: 'pkce' })
  const asked = await api.auth.signInWithOtp({ email: 'flow@example.com', options: { emailRedirectTo: `${SITE}/welcome` } })
  assert.equal(asked.error, null)
  const landed = await follow((await sink.mail('flow@example.com')).link)
  assert.equal(landed.pathname, '/welcome')
  assert.equal(landed.hash, '')
  const code = landed.searchParams.get('code')
  const { data, error } = await api.auth.exchangeCodeForSession(code)
  assert.equal(error, null)
  assert.equal(data.user.email, 'flow@example.com')
  const body = JSON.stringify({ auth_code: code, code_verifier: 'x'.repeat(43) })
  const headers = { apikey: server.publishable, 'Content-Type': 'application/json' }
  const again = await fetch(`${server.url}/auth/v1/token?grant_type=pkce`, { method: 'POST', headers, body })
  assert.equal(again.status, 404)
  assert.equal((await again.json()).error_code, 'flow_state_not_found')
})

test('a new address is confirmed, and a code by mail proves who is there', async () => {
  const api = await member('old@example.com')
  const { data, error } = await api.auth.updateUser({ email: 'newer@example.com' })
  assert.equal(error, null)
  assert.equal(data.user.new_email, 'newer@example.com')
  const { code } = await sink.mail('newer@example.com')
  assert.equal((await api.auth.verifyOtp({ email: 'newer@example.com', token: code, type: 'email_change' })).error, null)
  assert.equal((await api.auth.getUser()).data.user.email, 'newer@example.com')
  assert.match((await sink.mail('old@example.com')).subject, /was changed/)
  assert.equal((await api.auth.reauthenticate()).error, null)
  const nonce = (await sink.mail('newer@example.com')).code
  assert.equal((await api.auth.updateUser({ password: 'quite another password', nonce })).error, null)
})

test('both addresses confirm a change, where the application wants that', async () => {
  const usual = server
  server = await begin('double_confirm_changes = true\n')
  try {
    const said = 'Confirmation link accepted. Please proceed to confirm link sent to the other email'
    const api = await member('both@example.com')
    assert.equal((await api.auth.updateUser({ email: 'both2@example.com' })).data.user.new_email, 'both2@example.com')
    const [old, fresh] = [await sink.mail('both@example.com'), await sink.mail('both2@example.com')]
    assert.match(old.text, /is to have the address both2@example\.com/)
    const first = await api.auth.verifyOtp({ email: 'both2@example.com', token: fresh.code, type: 'email_change' })
    assert.equal(first.error, null)
    assert.equal(first.data.session, null)
    assert.equal((await api.auth.getUser()).data.user.email, 'both@example.com')
    const second = await api.auth.verifyOtp({ token_hash: old.token, type: 'email_change' })
    assert.equal(second.error, null)
    assert.equal(second.data.user.email, 'both2@example.com')
    assert.match((await sink.mail('both@example.com')).subject, /was changed/)
    // By links: the first says GoTrue's words, the second signs in.
    await api.auth.updateUser({ email: 'both3@example.com' })
    const asked = await follow((await sink.mail('both2@example.com')).link)
    assert.equal(asked.searchParams.get('message'), said)
    assert.equal(new URLSearchParams(asked.hash.slice(1)).get('message'), said)
    assert.equal((await api.auth.getUser()).data.user.email, 'both2@example.com')
    const done = await follow((await sink.mail('both3@example.com')).link)
    assert.ok(new URLSearchParams(done.hash.slice(1)).get('access_token'), done.href)
    assert.equal((await api.auth.getUser()).data.user.email, 'both3@example.com')
  } finally {
    await server.stop()
    server = usual
  }
})

test('anonymous users become lasting ones', async () => {
  const api = client()
  const { data, error } = await api.auth.signInAnonymously({ options: { data: { name: 'Nobody' } } })
  if (error) {
    // The blog's profile wants an address, and says so.
    assert.equal(error.code, 'validation_failed')
    return
  }
  assert.equal(data.user.is_anonymous, true)
  assert.equal((await api.auth.updateUser({ email: 'somebody@example.com' })).error, null)
  const { token } = await sink.mail('somebody@example.com')
  const verified = await api.auth.verifyOtp({ token_hash: token, type: 'email_change' })
  assert.equal(verified.error, null)
  assert.equal(verified.data.user.is_anonymous, false)
  assert.equal(verified.data.user.id, data.user.id)
})

test('the owner invites, and makes links', async () => {
  const owner = createClient(server.url, server.secret, { auth: { persistSession: false } })
  const invited = await owner.auth.admin.inviteUserByEmail('guest@example.com', { data: { name: 'Guest' } })
  assert.equal(invited.error, null)
  const mail = await sink.mail('guest@example.com')
  assert.match(mail.subject, /^Come to /)
  assert.match(mail.text, /^Dear guest@example\.com,/)
  assert.equal((await client().auth.verifyOtp({ token_hash: mail.token, type: 'invite' })).error, null)
  const made = await owner.auth.admin.generateLink({ type: 'magiclink', email: 'guest@example.com' })
  assert.equal(made.error, null)
  assert.equal(made.data.user.email, 'guest@example.com')
  const { hashed_token: hash, verification_type: type, action_link: link } = made.data.properties
  assert.ok(link.startsWith(PUBLIC))
  assert.equal((await client().auth.verifyOtp({ token_hash: hash, type })).error, null)
  const refused = await client().auth.admin.inviteUserByEmail('other@example.com')
  assert.equal(refused.error.code, 'no_authorization')
})

test('links are built from the settings, whatever a request says', async () => {
  await member('honest@example.com')
  const headers = {
    apikey: server.publishable, 'Content-Type': 'application/json', Origin: 'https://evil.example',
    'X-Forwarded-Host': 'evil.example', 'X-Forwarded-Proto': 'https', Forwarded: 'host=evil.example', Referer: 'https://evil.example/',
  }
  const body = JSON.stringify({ email: 'honest@example.com' })
  const url = `${server.url}/auth/v1/recover?redirect_to=${encodeURIComponent('https://evil.example/')}`
  assert.equal((await fetch(url, { method: 'POST', headers, body })).status, 200)
  const mail = await sink.mail('honest@example.com')
  assert.ok(!mail.raw.includes('evil.example'))
  assert.equal((await follow(mail.link)).origin, SITE)
})

test('nothing in a request becomes a header of a mail', async () => {
  const before = sink.count()
  const headers = { apikey: server.publishable, 'Content-Type': 'application/json' }
  for (const email of ['a@example.com\r\nBcc: b@example.com', 'a@example.com\nSubject: x', 'a@example.com, b@example.com', '"a\r\nb"@example.com', 'a@example.com>\r\nRCPT TO:<b@example.com']) {
    const answer = await fetch(`${server.url}/auth/v1/otp`, { method: 'POST', headers, body: JSON.stringify({ email }) })
    assert.equal(answer.status, 422, email)
  }
  const api = client()
  await api.auth.signInWithOtp({ email: 'named@example.com', options: { data: { name: 'x\r\nBcc: b@example.com' } } })
  await sink.mail('named@example.com')
  assert.equal(sink.count(), before + 1)
  assert.ok(!sink.all().some((mail) => /^Bcc:/im.test(mail.headers) || mail.recipients.length !== 1))
})

/** A mail server that keeps what it gets. */
async function smtp() {
  const mails = []
  const listener = net.createServer((socket) => {
    let rest = ''
    let recipients = []
    let data
    socket.setEncoding('utf8')
    socket.on('error', () => {})
    socket.write('220 sink ESMTP\r\n')
    socket.on('data', (chunk) => {
      rest += chunk
      for (let end = rest.indexOf('\r\n'); end >= 0; end = rest.indexOf('\r\n')) {
        const line = rest.slice(0, end)
        rest = rest.slice(end + 2)
        if (data !== undefined) {
          if (line === '.') {
            mails.push(read(data.join('\r\n'), recipients))
            data = undefined
            recipients = []
            socket.write('250 taken\r\n')
          } else {
            data.push(line.replace(/^\./, ''))
          }
        } else if (/^EHLO/i.test(line)) {
          socket.write('250-sink\r\n250 8BITMIME\r\n')
        } else if (/^RCPT TO:/i.test(line)) {
          recipients.push(/<(.*?)>/.exec(line)[1])
          socket.write('250 fine\r\n')
        } else if (/^DATA/i.test(line)) {
          data = []
          socket.write('354 go on\r\n')
        } else if (/^QUIT/i.test(line)) {
          socket.end('221 bye\r\n')
        } else {
          socket.write('250 fine\r\n')
        }
      }
    })
  })
  await new Promise((done) => listener.listen(0, '127.0.0.1', done))
  const taken = new Set()
  return {
    port: listener.address().port,
    close: () => listener.close(),
    count: () => mails.length,
    all: () => mails,
    /** The oldest mail to an address that nobody looked at yet. */
    async mail(to) {
      for (let tries = 0; tries < 200; tries += 1) {
        const found = mails.find((mail) => mail.recipients.includes(to) && !taken.has(mail))
        if (found) {
          taken.add(found)
          return found
        }
        await sleep(50)
      }
      throw new Error(`no mail to ${to}`)
    },
  }
}

/** What a mail says. */
function read(raw, recipients) {
  const [headers] = raw.split('\r\n\r\n', 1)
  const unfolded = headers.replaceAll(/\r\n[ \t]+/g, ' ')
  const [, boundary] = /boundary="([^"]+)"/.exec(unfolded)
  const part = raw.split(`--${boundary}`).find((each) => /Content-Type: text\/plain/i.test(each))
  const at = part.indexOf('\r\n\r\n')
  const body = part.slice(at + 4)
  const encoding = /Content-Transfer-Encoding: (\S+)/i.exec(part.slice(0, at))?.[1] ?? '7bit'
  const text = encoding === 'quoted-printable' ? quoted(body) : encoding === 'base64' ? Buffer.from(body, 'base64').toString() : body
  const lines = text.split(/\r?\n/)
  const link = lines.find((line) => line.startsWith('http')) ?? ''
  return {
    raw, headers: unfolded, recipients, text, link,
    subject: /^Subject: (.*)$/m.exec(unfolded)[1],
    token: /token=([^&]+)/.exec(link)?.[1],
    code: lines.find((line) => /^\d{6}$/.test(line)),
  }
}

function quoted(text) {
  const octets = text.replaceAll('=\r\n', '').replaceAll(/=([0-9A-F]{2})/g, (_, hex) => String.fromCharCode(parseInt(hex, 16)))
  return Buffer.from(octets, 'latin1').toString()
}
