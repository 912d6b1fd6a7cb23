/** Acts on one record, with the words that are said afterwards and the way back. */
import type { QueryClient } from '@tanstack/react-query'
import * as acts from '../api/acts'
import type { Rec, TransitionDef } from '../api/types'
import { did } from '../ui/toast'
import type { Input } from './TransitionDialog'

/** Transitions that a person may do from the record's state. */
export const allowed = (transitions: TransitionDef[], state: string): TransitionDef[] => transitions.filter((t) => !t.machine && (!t.from.length || t.from.includes(state)))

/** Takes back what the newest entry with this action did. */
async function takeBack(client: QueryClient, r: Pick<Rec, 'class' | 'key'>, action: string): Promise<void> {
  const entry = await acts.lastEntry(r.class, r.key, action)
  if (!entry) throw new Error('The entry is not there any more.')
  await acts.undo(r.class, r.key, entry.seq)
  refresh(client, r)
}

/** Everything on screen about the record is asked again. The stream would do so a second later. */
export function refresh(client: QueryClient, r: Pick<Rec, 'class' | 'key'>): void {
  for (const queryKey of [['record', r.class, r.key], ['journal', r.key], ['records', r.class], ['intervals', r.key], ['observations', r.key]]) void client.invalidateQueries({ queryKey })
}

export async function doTransition(client: QueryClient, r: Rec, t: TransitionDef, input: Input = {}): Promise<void> {
  await acts.transition(r, t.name, input)
  refresh(client, r)
  did(`${t.title}: ${r.key}`, () => takeBack(client, r, t.name))
}

export async function setOwner(client: QueryClient, r: Rec, owner: string | null): Promise<void> {
  await acts.update(r, r.version, { owner })
  refresh(client, r)
  did(owner ? `${r.key} is with ${owner} now` : `Nobody has ${r.key} now`, () => takeBack(client, r, 'update'))
}

/** `a`: acknowledging is how an incident is taken; anything else gets its owner. */
export async function take(client: QueryClient, r: Rec, transitions: TransitionDef[], me: string): Promise<void> {
  const acknowledge = allowed(transitions, r.state).find((t) => t.name === 'acknowledge')
  if (acknowledge) await doTransition(client, r, acknowledge)
  else await setOwner(client, r, me)
}
