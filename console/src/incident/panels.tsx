/** What stands beside an incident's story: who was paged, what was tried, how the checks are now. */
import { useQueries } from '@tanstack/react-query'
import { Link as To } from '@tanstack/react-router'
import * as read from '../api/queries'
import type { Link, Rec } from '../api/types'
import { show } from '../lib/values'
import { Steps } from '../record/Steps'
import { useClasses } from '../shell/context'
import { Chip, Panel } from '../ui/atoms'
import { State, toneOfState, stateName } from '../ui/signs'
import { Time } from '../ui/Time'

/** The records behind links, each read once and kept fresh by the stream. */
export function useLinked(links: Link[]): Rec[] {
  return useQueries({ queries: links.map((l) => read.record(l.class, l.key)) }).flatMap((q) => (q.data ? [q.data] : []))
}

const text = (v: unknown): string => (typeof v === 'string' || typeof v === 'number' ? String(v) : '')

/** Every page with its receipt. A page without one is not a page. */
export function PagesPanel({ pages, now }: { pages: Rec[]; now: number }) {
  return (
    <Panel title="Pages sent" pad={false} aside={pages.length ? <span className="num">{pages.length}</span> : undefined}>
      {!pages.length && <p className="px-3 pb-3 text-fg-3">Nobody has been paged for this.</p>}
      <ul>
        {pages.map((p) => (
          <li key={p.key} className="px-3 py-1.5 border-t border-line-soft">
            <To to="/r/$cls/$key" params={{ cls: p.class, key: p.key }} search={{}} className="flex items-center gap-2 hover:underline underline-offset-4">
              <span className="truncate">
                {text(p.fields.to) || p.title}
                {text(p.fields.channel) && <span className="text-fg-3"> by {text(p.fields.channel)}</span>}
              </span>
              <span className="ml-auto flex items-center gap-2 shrink-0">
                <Chip tone={toneOfState(p.state, p.open)}>{stateName(p.state)}</Chip>
                <Time at={text(p.fields.sent_at) || p.updated} now={now} className="text-xs text-fg-3" />
              </span>
            </To>
            {(text(p.fields.error) || text(p.fields.receipt)) && <p className={`text-xs break-words ${p.fields.error ? 'text-crit' : 'text-fg-3'}`}>{text(p.fields.error) || text(p.fields.receipt)}</p>}
          </li>
        ))}
      </ul>
    </Panel>
  )
}

export function RunsPanel({ runs, now }: { runs: Rec[]; now: number }) {
  const classes = useClasses()
  if (!runs.length) return null
  return (
    <Panel title="Runs" pad={false}>
      {runs.map((run) => (
        <div key={run.key} className="px-3 py-2 border-t border-line-soft">
          <To to="/r/$cls/$key" params={{ cls: run.class, key: run.key }} search={{}} className="flex items-center gap-2 hover:underline underline-offset-4 mb-1">
            <span className="font-medium truncate">{run.title}</span>
            <State cls={classes.get(run.class)} state={run.state} open={run.open} className="ml-auto shrink-0 text-xs" />
          </To>
          <Steps run={run} now={now} />
        </div>
      ))}
    </Panel>
  )
}

export function ChecksPanel({ checks, now }: { checks: Rec[]; now: number }) {
  const classes = useClasses()
  if (!checks.length) return null
  return (
    <Panel title="Checks now" pad={false}>
      <ul>
        {checks.map((c) => (
          <li key={c.key} className="px-3 py-1.5 border-t border-line-soft">
            <div className="flex items-center gap-2">
              <State cls={classes.get(c.class)} state={c.state} open={c.open} className="w-24 shrink-0" />
              <To to="/r/$cls/$key" params={{ cls: c.class, key: c.key }} search={{}} className="truncate hover:underline underline-offset-4">
                {c.title}
              </To>
              <Time at={c.state_since ?? c.updated} now={now} as="ago" className="ml-auto text-xs text-fg-3" />
            </div>
            {c.fields.summary && <p className="text-xs text-fg-3 break-words">{show(c.fields.summary)}</p>}
          </li>
        ))}
      </ul>
    </Panel>
  )
}
