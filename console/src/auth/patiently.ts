/** A wrong password or code slows the next try down for a moment; whoever types the right one at once need not notice. */
import { Problem } from '../api/http'

/** Waits up to this long are part of the asking; longer ones are told. */
const PATIENCE_S = 3

export async function patiently<T>(ask: () => Promise<T>): Promise<T> {
  try {
    return await ask()
  } catch (problem) {
    const wait = problem instanceof Problem && problem.status === 429 ? (problem.retryAfter ?? 1) : Infinity
    if (wait > PATIENCE_S) throw problem
    await new Promise((resolve) => setTimeout(resolve, wait * 1000))
    return ask()
  }
}
