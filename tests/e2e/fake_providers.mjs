// Providers that the tests start: an issuer of OpenID Connect, and what of GitHub is asked.
//
// Absent: pages. Who is sent to one is who the URL says (`who`), and is sent back at once.

import { createHash, generateKeyPairSync, randomBytes, sign } from 'node:crypto'
import http from 'node:http'

export const b64 = (value) => Buffer.from(value).toString('base64url')

/** An issuer of OpenID Connect, as strict as an honest one. `always`: it names itself in each answer. `who`: who is there when nobody is named. */
export async function issuer({ always = false, who } = {}) {
  const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const jwk = { ...publicKey.export({ format: 'jwk' }), kid: 'one', use: 'sig', alg: 'RS256' }
  const codes = new Map()
  const self = { exchanged: new Map() }
  self.token = (claims, { alg = 'RS256' } = {}) => {
    const now = Math.floor(Date.now() / 1000)
    const header = b64(JSON.stringify({ alg, typ: 'JWT', kid: 'one' }))
    const message = `${header}.${b64(JSON.stringify({ iss: self.url, iat: now, exp: now + 300, ...claims }))}`
    if (alg === 'none') return `${message}.`
    if (alg === 'HS256') return `${message}.${createHash('sha256').update(message).digest('base64url')}`
    return `${message}.${sign('sha256', Buffer.from(message), privateKey).toString('base64url')}`
  }
  return serve(self, {
    '/.well-known/openid-configuration': () => ({
      issuer: self.url,
      authorization_endpoint: `${self.url}/authorize`,
      token_endpoint: `${self.url}/token`,
      jwks_uri: `${self.url}/keys`,
      authorization_response_iss_parameter_supported: always,
    }),
    '/keys': () => ({ keys: [jwk] }),
    '/authorize': (query) => {
      self.last = Object.fromEntries(query)
      const back = new URL(query.get('redirect_uri'))
      back.searchParams.set('state', query.get('state'))
      if (always) back.searchParams.set('iss', self.url)
      if (query.get('refuse')) back.searchParams.set('error', query.get('refuse'))
      else {
        self.lastCode = randomBytes(16).toString('base64url')
        codes.set(self.lastCode, query)
        back.searchParams.set('code', self.lastCode)
      }
      return back
    },
    '/token': (query, body, headers) => {
      if (headers.authorization !== `Basic ${Buffer.from('blog:hush').toString('base64')}`) return { error: 'invalid_client' }
      const asked = spend(codes, self, body)
      if (!asked) return { error: 'invalid_grant' }
      const claims = { ...(who ?? JSON.parse(asked.get('who'))), aud: asked.get('client_id'), nonce: asked.get('nonce') }
      return { access_token: 'access', token_type: 'Bearer', id_token: self.token(claims) }
    },
  })
}

/** What of GitHub is asked. */
export async function hub() {
  const codes = new Map()
  const users = new Map()
  const self = { exchanged: new Map() }
  return serve(self, {
    '/login/oauth/authorize': (query) => {
      const back = new URL(query.get('redirect_uri'))
      back.searchParams.set('state', query.get('state'))
      const code = randomBytes(16).toString('base64url')
      codes.set(code, query)
      back.searchParams.set('code', code)
      return back
    },
    '/login/oauth/access_token': (query, body) => {
      const asked = body.get('client_secret') === 'hush' && spend(codes, self, body)
      if (!asked) return { error: 'bad_verification_code' }
      const token = randomBytes(16).toString('hex')
      users.set(`Bearer ${token}`, JSON.parse(asked.get('who')))
      return { access_token: token, token_type: 'bearer', scope: 'user:email' }
    },
    '/api/v3/user': (query, body, headers) => ({ ...users.get(headers.authorization), email: 'shown@example.com' }),
    '/api/v3/user/emails': (query, body, headers) => [{ email: users.get(headers.authorization).email, primary: true, verified: true }],
  })
}

/** What a code was asked for with, if whoever brings it is who asked. Once. */
function spend(codes, self, body) {
  const code = body.get('code')
  self.exchanged.set(code, (self.exchanged.get(code) ?? 0) + 1)
  const asked = codes.get(code)
  codes.delete(code)
  const challenge = createHash('sha256').update(body.get('code_verifier') ?? '').digest('base64url')
  const fits = asked && asked.get('code_challenge') === challenge && asked.get('redirect_uri') === body.get('redirect_uri')
  return fits ? asked : undefined
}

/** Pages by their paths: a URL is a redirect, everything else JSON. */
function serve(self, pages) {
  const answer = async (request, response) => {
    const url = new URL(request.url, 'http://x')
    let body = ''
    for await (const part of request) body += part
    const page = pages[url.pathname]
    const told = page ? page(url.searchParams, new URLSearchParams(body), request.headers) : { error: 'nothing here' }
    if (told instanceof URL) response.writeHead(302, { location: told.href }).end()
    else response.writeHead(page ? 200 : 404, { 'content-type': 'application/json' }).end(JSON.stringify(told))
  }
  const listening = http.createServer((request, response) => answer(request, response).catch(() => response.writeHead(500).end()))
  return new Promise((done) => {
    listening.listen(0, '127.0.0.1', () => {
      self.url = `http://127.0.0.1:${listening.address().port}`
      self.close = () => listening.close()
      done(self)
    })
  })
}
