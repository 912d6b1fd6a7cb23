import { useQueryClient } from '@tanstack/react-query'
import { useRouter } from '@tanstack/react-router'
import { useState } from 'react'
import type { ClassDef, Rec, TransitionDef } from '../api/types'
import { ChartsPanel } from '../chart/ChartsPanel'
import { useKeys } from '../lib/keys'
import { useNow } from '../lib/time'
import { useMe } from '../shell/context'
import { Panel } from '../ui/atoms'
import { failed } from '../ui/toast'
import { doTransition, take } from './act'
import { FieldsPanel } from './Fields'
import { GraphPanel } from './GraphPanel'
import { nextStep, RecordHead } from './Head'
import { HealthPanel } from './HealthPanel'
import { LinksPanel } from './Links'
import { DriftPanel, ObservedPanel } from './Observed'
import { Steps } from './Steps'
import { Timeline } from './Timeline'

/** Keys that every record answers to. */
export function useRecordKeys(cls: ClassDef, record: Rec, ask: (t: TransitionDef) => void): void {
  const client = useQueryClient()
  const me = useMe()
  const router = useRouter()
  const run = (act: Promise<void>, what: string): void => void act.catch((error: unknown) => failed(`${what} was refused`, error))
  useKeys({
    a: () => run(take(client, record, cls.transitions, me), 'Taking it'),
    s: () => {
      const next = nextStep(cls, record)
      if (next?.input.length) ask(next)
      else if (next) run(doTransition(client, record, next), next.title)
    },
    escape: () => (router.history.canGoBack() ? router.history.back() : void router.navigate({ to: '/r/$cls', params: { cls: cls.name }, search: {} })),
  })
}

/** Any record: headline and steps, then its story and what it touches, facts aside. */
export default function RecordPage({ cls, record }: { cls: ClassDef; record: Rec }) {
  const now = useNow()
  const [asking, setAsking] = useState<TransitionDef | null>(null)
  useRecordKeys(cls, record, setAsking)
  return (
    <div className="flex flex-col h-full min-h-0 @container">
      <RecordHead cls={cls} record={record} now={now} asking={asking} onAsk={setAsking} />
      {/* oxlint-disable-next-line jsx-a11y/no-noninteractive-tabindex */}
      <div className="scroll flex-1 min-h-0" tabIndex={0} role="region" aria-label={record.title}>
        <div className="p-4 lg:px-6 grid gap-4 items-start max-w-[1500px] @min-[980px]:grid-cols-[minmax(0,1fr)_400px]">
          <div className="space-y-4 min-w-0">
            {record.class === 'runbook-run' && (
              <Panel title="Steps">
                <Steps run={record} now={now} />
              </Panel>
            )}
            <FieldsPanel cls={cls} record={record} />
            <HealthPanel record={record} now={now} />
            <ChartsPanel key={record.key} record={record} />
            <ObservedPanel record={record} now={now} />
            <div className="card p-3">
              <Timeline subject={record} now={now} />
            </div>
          </div>
          <div className="space-y-4 min-w-0">
            <DriftPanel cls={cls} record={record} />
            <LinksPanel cls={cls} record={record} />
            <GraphPanel record={record} />
          </div>
        </div>
      </div>
    </div>
  )
}
