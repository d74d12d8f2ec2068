import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { replaceFile } from '../process/replace-file.ts'

const GENERATION_FILE = 'generation'

/** `claimed`: the last number that a supervisor took for itself. `taken`: whose workers have the ports. */
type Generations = { readonly claimed: number; readonly taken: number }

/**
 * A number for this supervisor, greater than that of any before. Its workers carry it; those of a
 * killed one end when they see that a greater one has `taken` over.
 */
export function claimGeneration(folder: string): number {
  const { claimed, taken } = readGenerations(folder)
  const own = Math.max(claimed, taken) + 1
  replaceFile(join(folder, GENERATION_FILE), JSON.stringify({ claimed: own, taken }), 0o640)
  return own
}

/** Says that the workers of `generation` answer: call it once all of them listen. */
export function takeOver(folder: string, generation: number): void {
  replaceFile(join(folder, GENERATION_FILE), JSON.stringify({ claimed: generation, taken: generation }), 0o640)
}

/** Whose workers have the ports; 0 when nobody's had yet. Workers read it too. */
export function takenGeneration(folder: string): number {
  return readGenerations(folder).taken
}

function readGenerations(folder: string): Generations {
  try {
    const read = JSON.parse(readFileSync(join(folder, GENERATION_FILE), 'utf8')) as Partial<Generations>
    return { claimed: Number(read.claimed ?? 0), taken: Number(read.taken ?? 0) }
  } catch {
    return { claimed: 0, taken: 0 }
  }
}
