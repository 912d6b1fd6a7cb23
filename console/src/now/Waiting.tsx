import { useQueryClient } from '@tanstack/react-query'
import { Link } from '@tanstack/react-router'
import { useState } from 'react'
import type { Rec, TransitionDef } from '../api/types'
import { allowed, doTransition } from '../record/act'
import { TransitionDialog } from '../record/TransitionDialog'
import { useClasses } from '../shell/context'
import { Panel } from '../ui/atoms'
import { Skeleton } from '../ui/states'
import { Time } from '../ui/Time'
import { failed } from '../ui/toast'
import { More } from './More'
import { useRecords } from './useRecords'

/** What a person says to a run that stands still: the first one of each pair lets it go on. */
const ANSWERS = ['approve', 'endorse', 'confirm', 'reject', 'did-not-work']
const YES = new Set(['approve', 'confirm'])

/** Runs that stand still until a person says yes, or has done what they ask for. Answering happens here, without another page. */
export function Waiting({ now }: { now: number }) {
  const client = useQueryClient()
  const cls = useClasses().get('runbook-run')
  const runs = useRecords('runbook-run', 'state:open')
  const [asking, setAsking] = useState<{ run: Rec; t: TransitionDef } | null>(null)
  if (!cls) return null
  const answers = (r: Rec): TransitionDef[] =>
    allowed(cls.transitions, r.state)
      .filter((t) => ANSWERS.includes(t.name) && (t.name !== 'endorse' || (r.fields.approvals_needed === 2 && !r.fields.endorsed_by)))
      .toSorted((a, b) => ANSWERS.indexOf(a.name) - ANSWERS.indexOf(b.name))
  const waiting = runs.rows.filter((r) => r.state !== 'approved' && answers(r).length > 0)
  const others = runs.rows.length - waiting.length
  const act = (run: Rec, t: TransitionDef): void => {
    // What a person found when they did it belongs on the record.
    if (t.input.length || t.name === 'did-not-work') setAsking({ run, t })
    else doTransition(client, run, t).catch((error: unknown) => failed(`${t.title} was refused`, error))
  }
  return (
    <Panel title="Waiting for a person" pad={false} aside={<More cls="runbook-run">{others > 0 ? `${others} running` : 'runs'}</More>}>
      {runs.pending && <Skeleton rows={1} height={58} label="Loading runs" />}
      {!runs.pending && !waiting.length && <p className="px-3 pb-3 text-fg-3">No run waits for anybody.</p>}
      <ul>
        {waiting.map((r) => (
          <li key={r.key} className="px-3 py-2 border-t border-line-soft">
            <div className="flex items-baseline gap-2">
              <Link to="/r/$cls/$key" params={{ cls: r.class, key: r.key }} search={{}} className="truncate font-medium hover:underline underline-offset-4">
                {r.title}
              </Link>
              <Time at={r.created} now={now} as="ago" className="ml-auto text-xs text-fg-3" />
            </div>
            {typeof r.fields.reason === 'string' && <p className="text-xs text-fg-3 truncate">{r.fields.reason}</p>}
            {typeof r.fields.asked === 'string' && <p className="mt-1 whitespace-pre-wrap break-words">{r.fields.asked}</p>}
            <div className="flex gap-2 mt-1.5">
              {answers(r).map((t) => (
                <button key={t.name} type="button" aria-label={`${t.title} ${r.title}`} className={`btn ${YES.has(t.name) ? 'btn-primary' : ''}`} onClick={() => act(r, t)}>
                  {t.title}
                </button>
              ))}
            </div>
          </li>
        ))}
      </ul>
      {asking && <TransitionDialog transition={asking.t} about={asking.run.title} record={asking.run} onClose={() => setAsking(null)} onDo={(input) => doTransition(client, asking.run, asking.t, input)} />}
    </Panel>
  )
}
