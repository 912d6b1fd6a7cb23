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

/** Runs that stand still until a person says yes. Approving happens here, without another page. */
export function Waiting({ now }: { now: number }) {
  const client = useQueryClient()
  const cls = useClasses().get('runbook-run')
  const runs = useRecords('runbook-run', 'state:open')
  const [asking, setAsking] = useState<{ run: Rec; t: TransitionDef } | null>(null)
  if (!cls) return null
  const canApprove = (r: Rec): boolean => allowed(cls.transitions, r.state).some((t) => t.name === 'approve')
  const waiting = runs.rows.filter(canApprove)
  const others = runs.rows.length - waiting.length
  const act = (run: Rec, t: TransitionDef): void => {
    if (t.input.length) setAsking({ run, t })
    else doTransition(client, run, t).catch((error: unknown) => failed(`${t.title} was refused`, error))
  }
  return (
    <Panel title="Waiting for approval" pad={false} aside={<More cls="runbook-run">{others > 0 ? `${others} running` : 'runs'}</More>}>
      {runs.pending && <Skeleton rows={1} height={58} label="Loading runs" />}
      {!runs.pending && !waiting.length && <p className="px-3 pb-3 text-fg-3">No run waits for a yes.</p>}
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
            <div className="flex gap-2 mt-1.5">
              {allowed(cls.transitions, r.state)
                .filter((t) => t.name === 'approve' || t.name === 'reject')
                .map((t) => (
                  <button key={t.name} type="button" aria-label={`${t.title} ${r.title}`} className={`btn ${t.name === 'approve' ? 'btn-primary' : ''}`} onClick={() => act(r, t)}>
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
