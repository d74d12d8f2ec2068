import { once } from 'node:events'
import { createServer, type Socket } from 'node:net'
import { createSecureContext, createServer as createTlsServer, TLSSocket } from 'node:tls'
import { createTestAuthority } from './certificates.ts'

/** How the test server misbehaves. `hold`: the answer to a mail waits until `release`. */
export type SmtpFault =
  | 'none'
  | 'silent'
  | 'drip'
  | 'refuse-recipient'
  | 'busy'
  | 'refuse-mail'
  | 'drop-after-data'
  | 'hold'

/** A mail as it arrived. */
export type ReceivedMail = {
  readonly from: string
  readonly to: readonly string[]
  readonly data: string
  readonly user: string | null
  readonly isEncrypted: boolean
}

/** A real SMTP server (RFC 5321, STARTTLS, AUTH PLAIN and LOGIN) on a loopback port. */
export type TestSmtp = AsyncDisposable & {
  readonly port: number
  /** PEM root of its certificate, which is for `localhost`. */
  readonly caPem: string
  /** Mails of which it had all data, whatever it answered. */
  readonly mails: ReceivedMail[]
  /** Every command line so far, without what follows AUTH. */
  readonly commands: string[]
  /** Most mails that were between DATA and its answer at one time. */
  readonly mostAtOnce: () => number
  fault: SmtpFault
  /** Lets the mails go that are held. */
  release(): void
}

/** Starts a server; `password` null: nobody needs to sign in, else `user` with it. */
export async function startTestSmtp(
  options: { security?: 'tls' | 'starttls' | 'none'; password?: string | null } = {},
): Promise<TestSmtp> {
  const { security = 'none', password = null } = options
  const authority = await createTestAuthority('SMTP test CA')
  const { chainPem, privateKeyPem } = await authority.issue(['localhost'])
  const identity = { cert: chainPem, key: privateKeyPem }
  const sockets = new Set<Socket>()
  const held: (() => void)[] = []
  const state = { isHeld: 0, most: 0 }
  const server: TestSmtp = {
    port: 0,
    caPem: authority.caPem,
    mails: [],
    commands: [],
    mostAtOnce: () => state.most,
    fault: 'none',
    release() {
      for (const go of held.splice(0)) go()
    },
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy()
      listener.close()
    },
  }
  const accept = (socket: Socket): void => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket)).on('error', () => undefined)
    converse(socket, { server, security, password, identity, held, state, isEncrypted: security === 'tls' }, true)
  }
  const listener = security === 'tls' ? createTlsServer(identity, accept) : createServer(accept)
  listener.listen(0, '127.0.0.1')
  await once(listener, 'listening')
  const address = listener.address()
  return Object.assign(server, { port: address !== null && typeof address === 'object' ? address.port : 0 })
}

type Session = {
  readonly server: TestSmtp
  readonly security: 'tls' | 'starttls' | 'none'
  readonly password: string | null
  readonly identity: { readonly cert: string; readonly key: string }
  readonly held: (() => void)[]
  readonly state: { isHeld: number; most: number }
  readonly isEncrypted: boolean
}

/** What a conversation remembers between two lines. */
type Talk = {
  mode: 'command' | 'data' | 'user' | 'password'
  from: string
  to: string[]
  user: string | null
  /** Who signs in with AUTH LOGIN, until the password came. */
  name: string
}

const decode = (text: string): string => Buffer.from(text, 'base64').toString()

function converse(socket: Socket, session: Session, isGreeting: boolean): void {
  const { server } = session
  const talk: Talk = { mode: 'command', from: '', to: [], user: null, name: '' }
  let buffered = ''
  const say = (line: string | null): void => {
    if (line !== null) socket.write(`${line}\r\n`)
  }
  const take = (): boolean => {
    const mark = talk.mode === 'data' ? '\r\n.\r\n' : '\r\n'
    const end = buffered.indexOf(mark)
    if (end < 0) return false
    const text = buffered.slice(0, end)
    buffered = buffered.slice(end + mark.length)
    if (talk.mode === 'data') say(takeMail(session, talk, text, socket, say))
    else say(obey(session, talk, text))
    if (/^STARTTLS$/i.test(text)) secure(socket, session)
    if (/^QUIT$/i.test(text)) socket.end()
    return true
  }
  socket.on('data', (chunk: Buffer) => {
    buffered += chunk.toString('latin1')
    while (take());
  })
  if (!isGreeting || server.fault === 'silent') return
  if (server.fault === 'drip') {
    const timer = setInterval(() => socket.write('2'), 50)
    socket.on('close', () => clearInterval(timer))
  } else say('220 localhost ESMTP')
}

function secure(socket: Socket, session: Session): void {
  socket.removeAllListeners('data')
  const secured = new TLSSocket(socket, { isServer: true, secureContext: createSecureContext(session.identity) })
  secured.on('error', () => undefined)
  converse(secured, { ...session, isEncrypted: true }, false)
}

/** The answer to a line that is no data of a mail. */
function obey(session: Session, talk: Talk, line: string): string {
  if (talk.mode === 'user') {
    talk.name = decode(line)
    talk.mode = 'password'
    return '334 UGFzc3dvcmQ6'
  }
  if (talk.mode === 'password') return signIn(session, talk, talk.name, decode(line))
  session.server.commands.push(line.replace(/^(AUTH \S+).*/, '$1'))
  const verb = (line.split(/[ :]/, 1)[0] ?? '').toUpperCase()
  const answer = verbs[verb]
  return answer === undefined ? '500 5.5.1 what?' : answer(session, talk, line)
}

type Verb = (session: Session, talk: Talk, line: string) => string

const pathOf = (line: string): string => /<([^>]*)>/.exec(line)?.[1] ?? ''
const fine: Verb = () => '250 2.0.0 ok'

const verbs: Readonly<Record<string, Verb>> = {
  EHLO: ({ security, isEncrypted, password }) => {
    const offers = [
      'localhost',
      ...(security === 'starttls' && !isEncrypted ? ['STARTTLS'] : []),
      ...(password === null ? [] : ['AUTH PLAIN LOGIN']),
    ]
    return offers.map((text, at) => `250${at === offers.length - 1 ? ' ' : '-'}${text}`).join('\r\n')
  },
  STARTTLS: () => '220 2.0.0 go ahead',
  AUTH: (session, talk, line) => {
    const [, method = '', initial] = line.split(' ')
    if (method.toUpperCase() === 'PLAIN' && initial !== undefined) {
      const [, who = '', word = ''] = decode(initial).split('\0')
      return signIn(session, talk, who, word)
    }
    talk.mode = 'user'
    return '334 VXNlcm5hbWU6'
  },
  MAIL: ({ server, password }, talk, line) => {
    if (password !== null && talk.user === null) return '530 5.7.0 sign in first'
    if (server.fault === 'busy') return '451 4.3.0 try later'
    talk.from = pathOf(line)
    return '250 2.1.0 ok'
  },
  RCPT: ({ server }, talk, line) => {
    if (server.fault === 'refuse-recipient') return '550 5.1.1 nobody of that name'
    talk.to.push(pathOf(line))
    return '250 2.1.5 ok'
  },
  DATA: (_, talk) => {
    talk.mode = 'data'
    return '354 go on'
  },
  QUIT: () => '221 2.0.0 bye',
  RSET: fine,
  NOOP: fine,
}

function signIn({ password }: Session, talk: Talk, who: string, word: string): string {
  talk.mode = 'command'
  if (word !== password) return '535 5.7.8 user or password is wrong'
  talk.user = who
  return '235 2.7.0 welcome'
}

/** The answer to a whole mail; null: none, or later by `say`. */
function takeMail(
  { server, state, held, isEncrypted }: Session,
  talk: Talk,
  data: string,
  socket: Socket,
  say: (line: string) => void,
): string | null {
  const { from, to, user } = talk
  Object.assign(talk, { mode: 'command', from: '', to: [] })
  if (server.fault === 'refuse-mail') return '554 5.6.0 no such mail here'
  server.mails.push({ from, to, user, isEncrypted, data: data.replace(/^\.\./gm, '.') })
  if (server.fault === 'drop-after-data') {
    socket.destroy()
    return null
  }
  if (server.fault !== 'hold') return '250 2.0.0 queued as 42'
  state.isHeld += 1
  state.most = Math.max(state.most, state.isHeld)
  held.push(() => {
    state.isHeld -= 1
    say('250 2.0.0 queued as 42')
  })
  return null
}
