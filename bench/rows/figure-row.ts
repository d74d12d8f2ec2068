import type { Options } from '../options.ts'
import type { Figures } from '../report.ts'

/** A row that measures by itself, with its own servers. Throws when it could not; notes go to `note`. */
export type MeasuredRow = {
  readonly name: string
  readonly title: string
  measure(options: Options, note: (text: string) => void): Promise<Figures>
}
