/** The first line of Now: one or two sentences that answer "is anything on fire, and is somebody on it?". Pure. */
import type { Rec } from '../api/types'
import { plural } from '../lib/values'

export interface Facts {
  incidents: Rec[]
  /** Systems that are down or degraded. */
  notWell: number
  unknownChecks: number
  me: string
}

const priority = (r: Rec): number => (typeof r.fields.priority === 'number' ? r.fields.priority : 9)

/** Those that nobody has first, then the worst, then the oldest. */
export const byNeed = (a: Rec, b: Rec): number => Number(a.owner !== null) - Number(b.owner !== null) || priority(a) - priority(b) || a.created.localeCompare(b.created)

export function headline({ incidents, notWell, unknownChecks }: Facts): string {
  const free = incidents.filter((i) => i.owner === null).length
  const worst = incidents.toSorted((a, b) => priority(a) - priority(b) || a.created.localeCompare(b.created))[0]
  if (worst) {
    const title = worst.title.replace(/[.!?]$/, '')
    const others = free - Number(worst.owner === null)
    if (worst.owner === null) {
      return `${title}, and nobody has it.` + (others ? ` ${plural(others, 'other incident')} ${others === 1 ? 'has' : 'have'} nobody either.` : '')
    }
    return `${title}.` + (others ? ` ${plural(others, 'other incident')} ${others === 1 ? 'has' : 'have'} nobody on ${others === 1 ? 'it' : 'them'}.` : ' Every open incident has somebody on it.')
  }
  if (notWell) return `No incident is open, but ${plural(notWell, 'system')} ${notWell === 1 ? 'is' : 'are'} not well.`
  if (unknownChecks) return `Nothing is known to be wrong. ${plural(unknownChecks, 'check')} could not measure.`
  return 'All is well, and everything is measured.'
}

/** The second line: what is mine. */
export function mine({ incidents, me }: Facts): string {
  const own = incidents.filter((i) => i.owner === me)
  if (!own.length) return incidents.length ? 'None of them is yours.' : 'Nothing waits for you.'
  return own.length === 1 ? `${own[0]!.key} is yours.` : `${own.length} of them are yours: ${own.slice(0, 3).map((i) => i.key).join(', ')}${own.length > 3 ? ', …' : ''}.`
}
