// Mails leave by TLS to the server that they are meant for, or not at all: a server with a certificate of a private authority (`[mail] ca`), with one for
// another name, of another authority, and one that says it knows no STARTTLS. What a server got before the handshake is looked at too.

import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import net from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import tls from 'node:tls'
import { start } from './harness.mjs'

const NAME = 'mailer'
const SECRET = 'the password of the mail server'
const CREDENTIALS = Buffer.from(`\0${NAME}\0${SECRET}`).toString('base64')

let authority
let stranger

before(() => {
  const folder = mkdtempSync(path.join(process.env.E2E_SCRATCH ?? tmpdir(), 'certificates-'))
  authority = make(folder, 'authority')
  stranger = make(folder, 'stranger')
})

/** An authority, and what it signs. */
function make(folder, name) {
  const file = (ending) => path.join(folder, `${name}-${ending}`)
  const openssl = (...args) => execFileSync('openssl', args, { stdio: 'pipe' })
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2']
  writeFileSync(file('cnf'), '[req]\ndistinguished_name=dn\n[dn]\n')
  const req = ['req', '-config', file('cnf'), '-x509', ...key]
  const ca = ['-addext', 'basicConstraints=critical,CA:TRUE', '-addext', 'keyUsage=critical,keyCertSign']
  openssl(...req, '-subj', `/CN=${name}`, ...ca, '-keyout', file('ca.key'), '-out', file('ca.pem'))
  const sign = (host) => {
    const leaf = ['-addext', 'basicConstraints=critical,CA:FALSE', '-addext', `subjectAltName=DNS:${host}`]
    const by = ['-CA', file('ca.pem'), '-CAkey', file('ca.key')]
    openssl(...req, '-subj', `/CN=${host}`, ...leaf, ...by, '-keyout', file('key'), '-out', file('pem'))
    return { key: readFileSync(file('key')), cert: readFileSync(file('pem')) }
  }
  return { pem: readFileSync(file('ca.pem'), 'utf8'), right: sign('localhost'), other: sign('other.example.com') }
}

/** A mail server: `implicit`, `starttls`, or `stripped`, which is one between the two that hides STARTTLS. */
async function smtp(kind, certificate) {
  const seen = { clear: [], hidden: [], mails: [] }
  const serve = (socket, lines, secure) => {
    let rest = ''
    let data = false
    socket.on('error', () => {})
    socket.on('data', (chunk) => {
      rest += chunk
      for (let end = rest.indexOf('\r\n'); end >= 0; end = rest.indexOf('\r\n')) {
        const line = rest.slice(0, end)
        rest = rest.slice(end + 2)
        lines.push(line)
        if (data && line !== '.') continue
        if (data) {
          data = false
          seen.mails.push(lines.join('\n'))
          socket.write('250 taken\r\n')
        } else if (/^EHLO/i.test(line)) {
          const offer = kind === 'starttls' && !secure ? '250-STARTTLS\r\n' : ''
          // It asks for the password in the clear as well, as a thief would.
          socket.write(`250-localhost\r\n${offer}250 AUTH PLAIN LOGIN\r\n`)
        } else if (/^STARTTLS/i.test(line)) {
          socket.removeAllListeners('data')
          socket.write('220 go on\r\n')
          const inner = new tls.TLSSocket(socket, { isServer: true, ...certificate })
          return serve(inner, seen.hidden, true)
        } else if (/^AUTH PLAIN/i.test(line)) {
          socket.write('235 welcome\r\n')
        } else if (/^DATA/i.test(line)) {
          data = true
          socket.write('354 go on\r\n')
        } else if (/^QUIT/i.test(line)) {
          socket.end('221 bye\r\n')
        } else {
          socket.write('250 fine\r\n')
        }
      }
    })
  }
  const greet = (socket, lines, secure) => {
    serve(socket, lines, secure)
    socket.write('220 localhost ESMTP\r\n')
  }
  const listener =
    kind === 'implicit'
      ? tls.createServer(certificate, (socket) => greet(socket, seen.hidden, true))
      : net.createServer((socket) => greet(socket, seen.clear, false))
  let connections = 0
  listener.on('connection', () => (connections += 1))
  listener.on('tlsClientError', () => {})
  await new Promise((done) => listener.listen(0, '127.0.0.1', done))
  return { seen, port: listener.address().port, connections: () => connections, close: () => listener.close() }
}

/** What a mail server gets to see of a recovery, and what the log says. */
async function send(kind, certificate, ca) {
  const sink = await smtp(kind, certificate)
  const server = await start('blog', (app) => {
    const file = path.join(app, 'undergird.toml')
    const way = kind === 'implicit' ? 'implicit' : 'starttls'
    const trust = ca ? 'ca = "authority.pem"\n' : ''
    if (ca) writeFileSync(path.join(app, 'authority.pem'), ca)
    const mail = `\n[mail]\nhost = "localhost"\nport = ${sink.port}\ntls = "${way}"\nusername = "${NAME}"\npassword = "${SECRET}"\n${trust}from = "no-reply@example.com"\n`
    writeFileSync(file, readFileSync(file, 'utf8') + mail)
  })
  try {
    const post = (to, body) =>
      fetch(`${server.url}/auth/v1/${to}`, {
        method: 'POST',
        headers: { apikey: server.publishable, 'Content-Type': 'application/json' },
        body: JSON.stringify(body),
      })
    const email = 'ann@example.com'
    assert.equal((await post('signup', { email, password: 'a long enough password', data: { name: 'Ann' } })).status, 200)
    assert.equal((await post('recover', { email })).status, 200)
    const refused = () => readFileSync(path.join(server.app, '../server.log'), 'utf8').includes('a mail was not taken')
    for (let tries = 0; tries < 100 && sink.seen.mails.length === 0 && !refused(); tries += 1) await sleep(100)
    return { ...sink.seen, connections: sink.connections(), refused: refused() }
  } finally {
    await server.stop()
    sink.close()
  }
}

for (const kind of ['starttls', 'implicit']) {
  test(`${kind}: a server of the authority that is trusted gets mails, encrypted`, async () => {
    const got = await send(kind, authority.right, authority.pem)
    assert.equal(got.mails.length, 1)
    assert.match(got.mails[0], /^RCPT TO:<ann@example\.com>/m)
    assert.ok(got.hidden.some((line) => line.includes(CREDENTIALS)), 'it signs in, behind TLS')
    assert.ok(got.clear.every((line) => /^(EHLO .*|STARTTLS)$/i.test(line)), got.clear.join('\n'))
  })

  for (const [what, certificate, ca] of [
    ['for another name', () => authority.other, () => authority.pem],
    ['of another authority', () => stranger.right, () => authority.pem],
    ['of no public authority', () => authority.right, () => undefined],
  ]) {
    test(`${kind}: a server with a certificate ${what} gets nothing`, async () => {
      nothing(await send(kind, certificate(), ca()))
    })
  }
}

test('a server that does not know STARTTLS gets nothing', async () => {
  const got = await send('stripped', authority.right, authority.pem)
  nothing(got)
  assert.ok(got.clear.some((line) => /^EHLO/i.test(line)), 'it was spoken to')
})

/** Neither a mail nor the password nor an address, in the clear or behind a handshake with a stranger. */
function nothing({ mails, clear, hidden, connections, refused }) {
  assert.ok(refused && connections > 0)
  assert.deepEqual([mails, hidden], [[], []])
  assert.ok(clear.every((line) => /^(EHLO .*|STARTTLS|QUIT)$/i.test(line)), clear.join('\n'))
}
