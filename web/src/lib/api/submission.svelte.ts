import { type ApiProblem, toProblem } from './problem.ts'

/** One write of a form: whether it is under way, and why it failed. */
export class Submission {
  #isBusy = $state(false)
  #problem = $state<ApiProblem | null>(null)

  get isBusy(): boolean {
    return this.#isBusy
  }

  get problem(): ApiProblem | null {
    return this.#problem
  }

  /** Runs `act` unless one is running; keeps its failure in `problem`. Never throws. */
  async run(act: () => Promise<void>): Promise<void> {
    if (this.#isBusy) return
    this.#isBusy = true
    this.#problem = null
    try {
      await act()
    } catch (error) {
      this.#problem = toProblem(error)
    } finally {
      this.#isBusy = false
    }
  }
}
