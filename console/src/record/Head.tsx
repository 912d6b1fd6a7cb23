import { useQueryClient } from '@tanstack/react-query'
import { Link } from '@tanstack/react-router'
import { useState, type ReactNode } from 'react'
import type { ClassDef, Rec, TransitionDef } from '../api/types'
import { Owner } from '../list/Cell'
import { useMe } from '../shell/context'
import { Kbd } from '../ui/atoms'
import { HEALTH_NAME, HealthSign, LIVING, Priority, State } from '../ui/signs'
import { Time } from '../ui/Time'
import { failed } from '../ui/toast'
import { allowed, doTransition, take } from './act'
import { RecordMenu } from './RecordMenu'
import { TransitionDialog } from './TransitionDialog'

/** The step that most often comes next: the first one that moves the record forward in its life cycle. */
export function nextStep(cls: ClassDef, record: Rec): TransitionDef | undefined {
  // Taking a thing out of use is not progress.
  if (LIVING.test(record.state)) return undefined
  const order = (state: string): number => cls.states.findIndex((s) => s.name === state)
  return allowed(cls.transitions, record.state).filter((t) => t.to !== null && order(t.to) > order(record.state)).toSorted((a, b) => order(a.to!) - order(b.to!))[0]
}

/** Where am I, what is it, how is it, and what can be done: above every record. */
export function RecordHead({ cls, record, now, below, asking, onAsk }: { cls: ClassDef; record: Rec; now: number; below?: ReactNode; asking: TransitionDef | null; onAsk: (t: TransitionDef | null) => void }) {
  const client = useQueryClient()
  const me = useMe()
  const [busy, setBusy] = useState(false)
  const steps = allowed(cls.transitions, record.state).filter((t) => t.name !== 'acknowledge')
  // What is simply in use has no next step: its transitions stand in the menu.
  const shown = LIVING.test(record.state) ? 0 : 3
  const acknowledge = allowed(cls.transitions, record.state).find((t) => t.name === 'acknowledge')
  const next = record.open ? nextStep(cls, record) : undefined

  async function run(act: () => Promise<void>, what: string): Promise<void> {
    setBusy(true)
    try {
      await act()
    } catch (error) {
      failed(`${what} was refused`, error)
    } finally {
      setBusy(false)
    }
  }
  const step = (t: TransitionDef): void => (t.input.length ? onAsk(t) : void run(() => doTransition(client, record, t), t.title))

  return (
    <header className="border-b border-line shrink-0 px-4 lg:px-6 pt-3">
      <nav aria-label="Where this is" className="flex items-center gap-1.5 text-xs text-fg-3 min-w-0">
        <Link to="/r/$cls" params={{ cls: cls.name }} search={{}} className="hover:text-fg hover:underline underline-offset-4">
          {cls.plural}
        </Link>
        <span aria-hidden>/</span>
        <span className="font-mono truncate">{record.key}</span>
        <span className="ml-auto md:hidden -my-1">
          <RecordMenu cls={cls} record={record} more={steps.filter((t) => t !== next).slice(shown)} onStep={step} />
        </span>
      </nav>
      <div className="flex items-start gap-x-4 gap-y-2 mt-1 flex-wrap">
        <div className="flex items-start gap-2.5 min-w-0 flex-1 basis-[320px]">
          {typeof record.fields.priority === 'number' && (
            <span className="mt-1">
              <Priority n={record.fields.priority} quiet={!record.open} />
            </span>
          )}
          <h1 className="text-lg font-semibold text-pretty min-w-0 break-words">{record.title}</h1>
        </div>
        <div className="flex items-center gap-2 flex-wrap max-md:w-full">
          {record.open && record.owner !== me && (
            <button type="button" className={`btn max-md:flex-1 ${acknowledge && !record.owner ? 'btn-primary' : ''}`} disabled={busy} onClick={() => void run(() => take(client, record, cls.transitions, me), 'Taking it')}>
              {acknowledge ? 'Acknowledge' : 'Take'} <Kbd>a</Kbd>
            </button>
          )}
          {steps
            .filter((t) => t !== next)
            .slice(0, shown)
            .map((t) => (
              <button key={t.name} type="button" className="btn max-md:flex-1" title={t.help || undefined} disabled={busy} onClick={() => step(t)}>
                {t.title}
              </button>
            ))}
          {next && (
            <button type="button" className={`btn max-md:flex-1 ${!acknowledge || record.owner ? 'btn-primary' : ''}`} title={next.help || undefined} disabled={busy} onClick={() => step(next)}>
              {next.title} <Kbd>s</Kbd>
            </button>
          )}
          <span className="max-md:hidden">
            <RecordMenu cls={cls} record={record} more={steps.filter((t) => t !== next).slice(shown)} onStep={step} />
          </span>
        </div>
      </div>
      <div className="flex items-center gap-x-5 gap-y-1 flex-wrap mt-1.5 pb-3 text-fg-2">
        <State cls={cls} state={record.state} open={record.open} />
        {record.health && (
          <span className="inline-flex items-center gap-1.5 min-w-0">
            <HealthSign health={record.health.state} label={false} />
            <span className="truncate">
              {HEALTH_NAME[record.health.state]} for <Time at={record.health.since} now={now} as="ago" />
              {record.health.reason && <span className="text-fg-3">: {record.health.reason}</span>}
            </span>
          </span>
        )}
        <span className="inline-flex items-center gap-1.5">{record.owner ? <Owner owner={record.owner} /> : <span className="text-fg-3">Nobody has it</span>}</span>
        <span className="text-xs text-fg-3">
          changed <Time at={record.updated} now={now} as="ago" /> ago, version <span className="num">{record.version}</span>
        </span>
      </div>
      {below}
      {asking && <TransitionDialog transition={asking} about={record.key} record={record} onClose={() => onAsk(null)} onDo={(input) => doTransition(client, record, asking, input)} />}
    </header>
  )
}
