import { useInfiniteQuery } from '@tanstack/react-query'
import { useMemo, useState } from 'react'
import * as read from '../api/queries'
import type { ClassDef, Link, Rec, TransitionDef } from '../api/types'
import { useNow } from '../lib/time'
import { FieldsPanel } from '../record/Fields'
import { GraphPanel } from '../record/GraphPanel'
import { RecordHead } from '../record/Head'
import { LinksPanel } from '../record/Links'
import { useRecordKeys } from '../record/RecordPage'
import { Timeline } from '../record/Timeline'
import { HealthSign, stateName } from '../ui/signs'
import { healthOf, show } from '../lib/values'
import { Link as To } from '@tanstack/react-router'
import { ChecksPanel, PagesPanel, RunsPanel, useChecks, useLinked } from './panels'
import { Stages } from './Stages'
import { stages } from './spent'

/** Linked classes that the story of an incident tells of, too. */
const TOLD = new Set(['notification', 'runbook-run', 'check', 'alert', 'change'])
const MOST_TOLD = 12

/** One incident: who is hurt, what do we think, what next. Content first, facts aside. */
export default function IncidentPage({ cls, record }: { cls: ClassDef; record: Rec }) {
  const now = useNow(5_000)
  const [asking, setAsking] = useState<TransitionDef | null>(null)
  const journal = useInfiniteQuery(read.journalOf(record.class, record.key))
  const links = useMemo(() => record.links ?? [], [record.links])
  const told = useMemo(() => links.filter((l) => TOLD.has(l.class)).slice(0, MOST_TOLD), [links])
  const of = (name: string): Link[] => links.filter((l) => l.class === name)
  const pages = useLinked(of('notification'))
  const runs = useLinked(of('runbook-run'))
  const checks = useChecks(useLinked(of('check')), links)
  useRecordKeys(cls, record, setAsking)

  const list = stages(cls, record, journal.data?.pages.flatMap((p) => p.entries) ?? [], now)
  return (
    <div className="flex flex-col h-full min-h-0 @container">
      <RecordHead cls={cls} record={record} now={now} asking={asking} onAsk={setAsking} below={<Stages cls={cls} record={record} list={list} />} />
      {/* oxlint-disable-next-line jsx-a11y/no-noninteractive-tabindex */}
      <div className="scroll flex-1 min-h-0" tabIndex={0} role="region" aria-label={record.title}>
        <div className="p-4 lg:px-6 grid gap-4 items-start max-w-[1500px] @min-[980px]:grid-cols-[minmax(0,1fr)_380px]">
          <div className="space-y-4 min-w-0">
            <Brief record={record} hurt={links.filter((l) => l.type === 'affects' && l.direction === 'out')} />
            <Timeline subject={record} also={told} now={now} />
          </div>
          <div className="space-y-4 min-w-0">
            <ChecksPanel checks={checks} now={now} />
            <PagesPanel pages={pages} now={now} />
            <RunsPanel runs={runs} now={now} />
            <GraphPanel record={record} types="impact,affects" />
            <LinksPanel cls={cls} record={record} />
            <FieldsPanel cls={cls} record={record} />
          </div>
        </div>
      </div>
    </div>
  )
}

/** The five-second answer: who is hurt, and what is thought of it. */
function Brief({ record, hurt }: { record: Rec; hurt: Link[] }) {
  const summary = show(record.fields.description)
  const cause = show(record.fields.cause_summary)
  return (
    <section aria-label="In short" className="rounded-lg bg-sunken px-4 py-3 grid gap-x-8 gap-y-3 @min-[640px]:grid-cols-[minmax(0,1fr)_minmax(0,2fr)]">
      <div className="min-w-0">
        <h2 className="label mb-1">Hurt</h2>
        {!hurt.length && <p className="text-fg-3">Not known yet. Link what is affected.</p>}
        <ul className="space-y-0.5">
          {hurt.map((l) => {
            const health = healthOf(l)
            return (
              <li key={l.key} className="flex items-center gap-2 min-w-0">
                {health && <HealthSign health={health} />}
                <To to="/r/$cls/$key" params={{ cls: l.class, key: l.key }} search={{}} className="font-medium truncate hover:underline underline-offset-4">
                  {l.title}
                </To>
                <span className="text-xs text-fg-3">{health ? '' : stateName(l.state)}</span>
              </li>
            )
          })}
        </ul>
      </div>
      <div className="min-w-0">
        <h2 className="label mb-1">{cause ? 'Cause' : 'What we think'}</h2>
        <p className="text-pretty whitespace-pre-wrap break-words">{cause || summary || <span className="text-fg-3">Nobody has written it down yet. Edit the fields to say it.</span>}</p>
      </div>
    </section>
  )
}
