/** The steps of a run, in the form the page shows: read from the results that the run has written so far. Pure. */
import type { Fields, Json, Rec } from '../api/types'
import { show } from '../lib/values'

export interface Step {
  title: string
  state: 'succeeded' | 'failed'
  at: string
  said: string
  /** Why it was done again after a restart, if it was. */
  repeated: string
}

const text = (v: Json | undefined): string => (typeof v === 'string' ? v : '')

/** A run writes one result a step: the command or check, whether it went well, what it said, when. */
export function stepsOf(run: Rec): Step[] {
  const results = Array.isArray(run.fields.results) ? run.fields.results : []
  return results
    .filter((r): r is Fields => r !== null && typeof r === 'object' && !Array.isArray(r))
    .map((r, i) => {
      const command = Array.isArray(r.run) && r.run.length ? r.run.map(String).join(' ') : ''
      const detail = show(r.detail)
      return {
        title: (r.undo === true ? 'undo: ' : '') + (command || (text(r.check) ? `check ${text(r.check)}` : text(r.ask) ? `ask: ${text(r.ask)}` : `Step ${i + 1}`)),
        state: r.ok === true ? 'succeeded' : 'failed',
        at: text(r.at),
        said: [text(r.said), detail].filter(Boolean).join('\n'),
        repeated: text(r.repeated),
      }
    })
}
