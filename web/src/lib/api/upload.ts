import { authorization, urlOf } from './client.ts'
import { problemOf, toProblem } from './problem.ts'

/** An upload under way. */
export type Upload<T> = { done: Promise<T>; abort: () => void }

/**
 * Sends a file as the raw body of a POST and tells its progress (0 to 1; 1 means sent, the server still works on it).
 * XMLHttpRequest, since fetch does not tell how much has been sent. `done` rejects with ApiProblem or an AbortError.
 */
export function uploadFile<T>(path: string, file: File, onProgress: (share: number) => void): Upload<T> {
  const request = new XMLHttpRequest()
  const done = authorization().then((value) => sendFile<T>(request, urlOf(path), value, file, onProgress))
  return { done, abort: () => request.abort() }
}

function sendFile<T>(
  request: XMLHttpRequest,
  url: string,
  authorizationValue: string,
  file: File,
  onProgress: (share: number) => void,
): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    request.open('POST', url)
    request.setRequestHeader('authorization', authorizationValue)
    request.setRequestHeader('content-type', contentTypeOf(file.name))
    request.upload.onprogress = (event) => {
      if (event.lengthComputable) onProgress(event.loaded / event.total)
    }
    request.onload = () => {
      const body = parse(request.responseText)
      if (request.status >= 200 && request.status < 300) resolve(body as T)
      else reject(problemOf(request.status, body))
    }
    request.onerror = () => reject(toProblem(new TypeError('the upload did not get through')))
    request.onabort = () => reject(new DOMException('the upload was cancelled', 'AbortError'))
    request.send(file)
  })
}

function contentTypeOf(name: string): string {
  return name.toLowerCase().endsWith('.zip') ? 'application/zip' : 'application/gzip'
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
