import { authorization, urlOf } from '#lib/api/client.ts'

/** One message of a Server-Sent Events stream. */
export type StreamMessage = { id: string; event: string; data: string }

/**
 * Reads `GET /events` until it ends or `signal` aborts. By fetch, since EventSource cannot send the access token.
 * `onOpen` is called when the server has accepted; `lastEventId` resumes after that event. Throws when it breaks.
 */
export async function readEventStream(options: {
  signal: AbortSignal
  lastEventId: string
  onOpen: () => void
  onMessage: (message: StreamMessage) => void
}): Promise<void> {
  const headers = new Headers({ accept: 'text/event-stream', authorization: await authorization() })
  if (options.lastEventId !== '') headers.set('last-event-id', options.lastEventId)
  const response = await fetch(urlOf('/events'), { headers, signal: options.signal, cache: 'no-store' })
  if (!response.ok || response.body === null) throw new Error(`the event stream answered ${response.status}`)
  options.onOpen()
  const parse = createStreamParser(options.onMessage)
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader()
  for (;;) {
    const { done, value } = await reader.read()
    if (done) return
    parse(value)
  }
}

/** Longest unfinished message that is kept; a stream that sends more is broken. */
const MAX_BUFFER = 1_000_000

/** A parser of the event stream format (WHATWG HTML, section 9.2.6): feed it text as it comes. */
export function createStreamParser(onMessage: (message: StreamMessage) => void): (text: string) => void {
  let buffer = ''
  let lastId = ''
  return (text) => {
    buffer += text
    if (buffer.length > MAX_BUFFER) throw new Error('an event of the stream is too long')
    const blocks = buffer.replaceAll('\r\n', '\n').split('\n\n')
    buffer = blocks.pop() ?? ''
    for (const block of blocks) {
      const message = parseBlock(block, lastId)
      lastId = message.id
      if (message.data !== '') onMessage(message)
    }
  }
}

function parseBlock(block: string, lastId: string): StreamMessage {
  const message: StreamMessage = { id: lastId, event: 'message', data: '' }
  const data: string[] = []
  for (const line of block.split('\n')) {
    const colon = line.indexOf(':')
    const field = colon === -1 ? line : line.slice(0, colon)
    const value = colon === -1 ? '' : line.slice(colon + 1).replace(/^ /, '')
    if (field === 'id') message.id = value
    else if (field === 'event') message.event = value
    else if (field === 'data') data.push(value)
  }
  message.data = data.join('\n')
  return message
}
