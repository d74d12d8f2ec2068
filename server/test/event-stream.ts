/** The blocks of an event stream; ends the request when the caller stops. */
export async function* blocksOf(response: Response): AsyncGenerator<string> {
  if (response.body === null) throw new Error('the stream has no body')
  let rest = ''
  for await (const text of response.body.pipeThrough(new TextDecoderStream())) {
    const blocks = (rest + text).split('\n\n')
    rest = blocks.pop() ?? ''
    yield* blocks
  }
}
