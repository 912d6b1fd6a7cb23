/** What stands beside an incident's story: who was paged, what was tried, how the checks are now. */
import { useQueries, useQuery } from '@tanstack/react-query'
import { Link as To } from '@tanstack/react-router'
import * as read from '../api/queries'
import type { Link, Rec } from '../api/types'
import { quote } from '../lib/filter'
import { show } from '../lib/values'
import { Steps } from '../record/Steps'
import { useClasses } from '../shell/context'
import { Chip, Panel } from '../ui/atoms'
import { CHECK_HEALTH, HEALTH_ORDER, State, stateName, toneOfState } from '../ui/signs'
import { Time } from '../ui/Time'

/** The records behind links, each read once and kept fresh by the stream. */
export function useLinked(links: Link[]): Rec[] {
  return useQueries({ queries: links.map((l) => read.record(l.class, l.key)) }).flatMap((q) => (q.data ? [q.data] : []))
}

const MOST_CHECKS = 20

/** Checks that the incident names, and those of what it hits: they prove when it is over. */
export function useChecks(named: Rec[], links: Link[]): Rec[] {
  const hit = links.filter((l) => l.type === 'affects' && l.direction === 'out').map((l) => quote(l.key))
  const exists = useClasses().has('check')
  const { data } = useQuery({ ...read.records('check', { filter: `on:${hit.join(',')}`, limit: MOST_CHECKS }), enabled: exists && hit.length > 0 })
  const order = (r: Rec): number => HEALTH_ORDER[CHECK_HEALTH[r.state] ?? 'unknown']
  const all = new Map([...named, ...(data?.records ?? [])].map((r) => [r.key, r]))
  return [...all.values()].toSorted((a, b) => order(a) - order(b) || a.key.localeCompare(b.key))
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
                {text(p.fields.recipient) || text(p.fields.person) || p.title}
                {text(p.fields.channel) && <span className="text-fg-3"> by {text(p.fields.channel)}</span>}
              </span>
              <span className="ml-auto flex items-center gap-2 shrink-0">
                <Chip tone={toneOfState(p.state, p.open)}>{stateName(p.state)}</Chip>
                <Time at={text(p.fields.sent_at) || p.updated} now={now} className="text-xs text-fg-3" />
              </span>
            </To>
            <Receipt page={p} />
          </li>
        ))}
      </ul>
    </Panel>
  )
}

/** What the provider said, or why the page did not go out. */
function Receipt({ page }: { page: Rec }) {
  const delivered = !/failed|suppressed/.test(page.state)
  const wrong = text(page.fields.last_error) || text(page.fields.suppressed_because)
  const said = delivered ? text(page.fields.receipt) || wrong : wrong || text(page.fields.receipt)
  return said ? <p className={`text-xs break-words ${delivered ? 'text-fg-3' : 'text-crit'}`}>{said}</p> : null
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
            {show(c.fields.last_summary) && <p className="text-xs text-fg-3 break-words">{show(c.fields.last_summary)}</p>}
          </li>
        ))}
      </ul>
    </Panel>
  )
}
