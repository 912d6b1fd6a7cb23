import { useInfiniteQuery, useQueries } from '@tanstack/react-query'
import { Link } from '@tanstack/react-router'
import { Bot, MessageSquare } from 'lucide-react'
import { useMemo, useState } from 'react'
import * as read from '../api/queries'
import { useConnection } from '../api/live'
import type { Entry } from '../api/types'
import { actorName } from '../lib/actor'
import { day } from '../lib/time'
import { useClasses } from '../shell/context'
import { Avatar } from '../ui/atoms'
import { Skeleton } from '../ui/states'
import { Time } from '../ui/Time'
import { Because } from './Because'
import { Composer } from './Composer'
import { deed, differences, inWords, isPerson } from './words'

export interface Subject {
  class: string
  key: string
}

type Which = 'all' | 'people' | 'machines'
const WHICH: [Which, string][] = [['all', 'All'], ['people', 'People'], ['machines', 'Automation']]

/**
 * The journal of a record as a story, newest last, live. With `also`, the journals of linked records are woven in, so that
 * an incident tells of its checks, pages and runs, too.
 */
export function Timeline({ subject, also = [], now }: { subject: Subject; also?: Subject[]; now: number }) {
  const own = useInfiniteQuery(read.journalOf(subject.class, subject.key))
  const others = useQueries({ queries: also.map((s) => ({ ...read.journalTail(s.class, s.key), staleTime: 5_000 })) })
  const [which, setWhich] = useState<Which>('all')
  const live = useConnection() === 'live'

  const entries = useMemo(() => {
    const mine = own.data?.pages.flatMap((p) => p.entries) ?? []
    const oldest = Math.min(...mine.map((e) => e.seq))
    // What happened to the others before this record began is not its story.
    const theirs = others.flatMap((o) => o.data ?? []).filter((e) => e.seq >= oldest - 50 && mine.some((m) => m.seq === e.cause || m.cause === e.seq || e.seq >= oldest))
    const bySeq = new Map([...theirs, ...mine].map((e) => [e.seq, e]))
    return [...bySeq.values()].toSorted((a, b) => a.seq - b.seq)
  }, [own.data, others])
  const shown = entries.filter((e) => which === 'all' || (which === 'people') === isPerson(e))

  return (
    <section aria-label="Timeline" className="flex flex-col min-w-0">
      <div className="flex items-center gap-1 mb-1.5 flex-wrap">
        <h2 className="text-sm font-semibold mr-2">Timeline</h2>
        {WHICH.map(([id, title]) => (
          <button key={id} type="button" aria-pressed={which === id} onClick={() => setWhich(id)} className={`h-6 px-2 rounded text-xs max-lg:h-9 ${which === id ? 'bg-accent-soft font-medium' : 'text-fg-2 hover:bg-hover'}`}>
            {title}
          </button>
        ))}
        <span className="ml-auto flex items-center gap-1.5 text-xs text-fg-3">
          <span aria-hidden className={`size-1.5 rounded-full ${live ? 'bg-ok' : 'bg-warn'}`} />
          {live ? 'live' : 'waiting for the stream'}
        </span>
      </div>
      {own.hasNextPage && (
        <button type="button" className="btn btn-ghost self-start mb-1" disabled={own.isFetchingNextPage} onClick={() => void own.fetchNextPage()}>
          Earlier
        </button>
      )}
      {own.isPending ? (
        <Skeleton rows={5} height={30} />
      ) : (
        <ol aria-live="polite" aria-relevant="additions" className="min-w-0">
          {shown.map((e, i) => (
            <Line key={e.seq} entry={e} now={now} newDay={i === 0 || day(e.time) !== day(shown[i - 1]!.time)} own={e.subject === subject.key} />
          ))}
        </ol>
      )}
      {!own.isPending && !shown.length && <p className="text-fg-3 py-3">Nothing yet.</p>}
      <Composer key={`${subject.class}/${subject.key}`} subject={subject} />
    </section>
  )
}

function Line({ entry, now, newDay, own }: { entry: Entry; now: number; newDay: boolean; own: boolean }) {
  const cls = useClasses().get(entry.class)
  const [open, setOpen] = useState(false)
  const person = isPerson(entry)
  const what = differences(entry)
  // A step says itself where it led: its state need not be told again.
  const told = what.filter((d) => !(d.name === 'state' || (entry.action === 'acknowledge' && d.name === 'owner')))
  const long = told.length > 3
  return (
    <>
      {newDay && <li className="label pt-2 pb-1">{day(entry.time)}</li>}
      <li className="grid grid-cols-[42px_20px_minmax(0,1fr)] gap-x-2.5 py-[5px] relative before:absolute before:left-[61px] before:top-7 before:bottom-0 before:w-px before:bg-line-2 last:before:hidden">
        <Time at={entry.time} now={now} as="clock" className="text-xs text-fg-3 leading-5" />
        <span className="flex justify-center h-5 items-center text-fg-3">{person ? <Avatar id={entry.actor.key} size={18} /> : <Bot size={15} />}</span>
        <div className="min-w-0 leading-5">
          <span className={person ? 'font-medium' : 'text-fg-2'}>{actorName(entry.actor)}</span>{' '}
          {entry.action !== 'note' && (
            <span className="text-fg-2">
              <Deed text={deed(entry, cls)} entry={entry} own={own} />
              {told.length > 0 && ': '}
            </span>
          )}
          {(open ? told : told.slice(0, 3)).map((d, i) => (
            <span key={d.name} className="text-fg-2">
              {i > 0 && ', '}
              <span className="text-fg-3">{cls?.fields.find((f) => f.name === d.name)?.title.toLowerCase() ?? d.name}</span> {inWords(d, cls)}
            </span>
          ))}
          {long && (
            <button type="button" className="link text-xs ml-1" onClick={() => setOpen(!open)}>
              {open ? 'less' : `${told.length - 3} more`}
            </button>
          )}
          {entry.action !== 'note' && <Sources entry={entry} />}
          {entry.note && (
            <span className={entry.action === 'note' ? 'whitespace-pre-wrap break-words' : 'block whitespace-pre-wrap break-words text-fg'}>
              {entry.action !== 'note' && <MessageSquare size={12} className="inline mr-1 text-fg-3" aria-label="Note" />}
              {entry.note}
            </span>
          )}
          {entry.action === 'note' && <Sources entry={entry} />}
        </div>
      </li>
    </>
  )
}


/** The deed, with the record it was done to in the place of "it" when that is another one than the page is about. */
function Deed({ text, entry, own }: { text: string; entry: Entry; own: boolean }) {
  const [before, after = ''] = text.split(/\bit\b/, 2)
  if (own) return text
  return (
    <>
      {before}
      <Link to="/r/$cls/$key" params={{ cls: entry.class, key: entry.subject }} search={{}} className="font-mono text-xs text-fg hover:underline underline-offset-4">
        {entry.subject}
      </Link>
      {after}
    </>
  )
}

function Sources({ entry }: { entry: Entry }) {
  return (
    <>
      {entry.cause !== null && <Because seq={entry.cause} />}
      <span className="font-mono text-2xs text-fg-3 ml-2 num max-md:hidden">#{entry.seq}</span>
    </>
  )
}
