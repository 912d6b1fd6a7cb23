import { useQuery } from '@tanstack/react-query'
import { Link } from '@tanstack/react-router'
import { ArrowRight, BellOff } from 'lucide-react'
import * as read from '../api/queries'
import { longDay, clock, useNow, zoneName } from '../lib/time'
import { useClasses, useMe } from '../shell/context'
import { Page } from '../ui/Page'
import { Announcements } from './Announcements'
import { headline, mine } from './answer'
import { ComingUp } from './ComingUp'
import { HealthOverview } from './HealthOverview'
import { Incidents } from './Incidents'
import { RunsHere } from './RunsHere'
import { Unknown } from './Unknown'
import { Waiting } from './Waiting'
import { useRecords } from './useRecords'

/** Is anything on fire, is it mine, what runs here, and what is not known? */
export default function Now() {
  const now = useNow()
  const me = useMe()
  const incidents = useRecords('incident', 'state:open', 'priority')
  const sick = ['host', 'service', 'application'].map((c) => useRecords(c, 'state:open health:down,degraded').rows)
  const unknown = useRecords('check', 'state:UNKNOWN')
  const facts = { incidents: incidents.rows, notWell: sick.reduce((sum, rows) => sum + rows.length, 0), unknownChecks: unknown.rows.length, me }
  const known = !incidents.pending && !unknown.pending
  return (
    <Page
      title="Now"
      sub={longDay(now)}
      actions={
        <span className="text-xs text-fg-3 num">
          {clock(now)} {zoneName()}
        </span>
      }
    >
      <div className="p-4 lg:px-6 space-y-4 max-w-[1500px]">
        <Announcements now={now} />
        <NobodyPaged />
        <section className="pt-1 pb-1 min-h-[58px]" aria-live="polite">
          {incidents.error ? (
            <p className="text-lg lg:text-xl font-semibold">The incidents could not be read, so nothing can be said. {incidents.error.message}</p>
          ) : known ? (
            <>
              <p className="text-lg lg:text-xl font-semibold text-balance tracking-[-0.01em]">{headline(facts)}</p>
              <p className="text-fg-2">{mine(facts)}</p>
            </>
          ) : (
            <p className="skel h-7 w-3/4 late" />
          )}
        </section>
        <div className="grid xl:grid-cols-[minmax(0,1fr)_380px] gap-4 items-start">
          <div className="space-y-4 min-w-0">
            <Incidents rows={incidents.rows} total={incidents.total} pending={incidents.pending} error={incidents.error} now={now} />
            <RunsHere />
            <div className="grid md:grid-cols-2 gap-4 items-start">
              <Waiting now={now} />
              <ComingUp now={now} />
            </div>
          </div>
          <div className="space-y-4 min-w-0">
            <HealthOverview />
            <Unknown checks={unknown.rows} total={unknown.total} pending={unknown.pending} now={now} />
          </div>
        </div>
      </div>
    </Page>
  )
}

/** Said loudly, at the top, until it is not true any more: with no channel, a page goes nowhere. */
function NobodyPaged() {
  const exists = useClasses().has('channel')
  const { data } = useQuery({ ...read.records('channel', { limit: 50 }), enabled: exists })
  const used = data?.records.filter((r) => r.fields.enabled !== false)
  if (!used || used.some((r) => r.state !== 'failing')) return null
  const none = used.length === 0
  return (
    <div role="alert" className="flex items-center gap-3 rounded-lg border border-crit bg-crit-soft px-4 py-3 flex-wrap">
      <BellOff size={18} className="text-crit shrink-0" />
      <p className="min-w-0 flex-1 basis-60">
        <strong className="font-semibold text-crit">Nobody will be paged.</strong> <span className="text-fg">{none ? 'No channel is in use' : 'Every channel fails'}, so an incident at night is only a line on this page.</span>
      </p>
      <Link to="/r/$cls" params={{ cls: 'channel' }} search={{}} hash={none ? 'new' : undefined} className="btn">
        {none ? 'Set up a channel' : 'Look at the channels'} <ArrowRight size={13} />
      </Link>
    </div>
  )
}
