import { useQueryClient } from '@tanstack/react-query'
import { useState } from 'react'
import * as acts from '../api/acts'
import type { ClassDef, Rec, TransitionDef } from '../api/types'
import { plural } from '../lib/values'
import { allowed } from '../record/act'
import { TransitionDialog, type Input } from '../record/TransitionDialog'
import { Kbd } from '../ui/atoms'
import { did, failed } from '../ui/toast'

/** How many requests are under way at once. */
const AT_ONCE = 4

async function each<T>(things: T[], act: (thing: T) => Promise<unknown>): Promise<{ done: T[]; refused: { thing: T; error: unknown }[] }> {
  const queue = [...things]
  const done: T[] = []
  const refused: { thing: T; error: unknown }[] = []
  const work = async (): Promise<void> => {
    for (let thing = queue.shift(); thing !== undefined; thing = queue.shift()) {
      try {
        await act(thing)
        done.push(thing)
      } catch (error) {
        refused.push({ thing, error })
      }
    }
  }
  await Promise.all(Array.from({ length: AT_ONCE }, work))
  return { done, refused }
}

/** What can be done with all selected records at once: the steps that every one of them allows. */
export function BulkBar({ cls, selected, onClear, onTake }: { cls: ClassDef; selected: Rec[]; onClear: () => void; onTake: () => void }) {
  const client = useQueryClient()
  const [asking, setAsking] = useState<TransitionDef | null>(null)
  const common = allowed(cls.transitions, selected[0]?.state ?? '').filter((t) => selected.every((r) => !t.from.length || t.from.includes(r.state)))

  async function run(t: TransitionDef, input: Input = {}): Promise<void> {
    const { done, refused } = await each(selected, (r) => acts.transition(r, t.name, input))
    void client.invalidateQueries({ queryKey: ['records', cls.name] })
    onClear()
    if (done.length) {
      did(`${t.title}: ${plural(done.length, cls.title.toLowerCase(), cls.plural.toLowerCase())}`, async () => {
        await each(done, async (r) => {
          const entry = await acts.lastEntry(r.class, r.key, t.name)
          if (entry) await acts.undo(r.class, r.key, entry.seq)
        })
        void client.invalidateQueries({ queryKey: ['records', cls.name] })
      })
    }
    if (refused[0]) failed(`${refused.length} refused, ${refused[0].thing.key} first`, refused[0].error)
  }

  return (
    <div className="flex items-center gap-2 min-h-11 px-3 py-1.5 border-t border-line bg-accent-soft flex-wrap">
      <b className="font-medium num">{selected.length} selected</b>
      <button type="button" className="btn" onClick={onTake}>
        Take <Kbd>a</Kbd>
      </button>
      {common
        .filter((t) => t.name !== 'acknowledge')
        .map((t) => (
          <button key={t.name} type="button" className="btn" onClick={() => (t.input.length ? setAsking(t) : void run(t))}>
            {t.title}
          </button>
        ))}
      {!common.length && <span className="text-fg-2">These have no step in common.</span>}
      <button type="button" className="btn btn-ghost ml-auto" onClick={onClear}>
        Clear <Kbd>Esc</Kbd>
      </button>
      {asking && <TransitionDialog transition={asking} about={plural(selected.length, cls.title.toLowerCase(), cls.plural.toLowerCase())} onClose={() => setAsking(null)} onDo={(input) => run(asking, input)} />}
    </div>
  )
}
