import { useQuery } from '@tanstack/react-query'
import { Link } from '@tanstack/react-router'
import { useState } from 'react'
import * as read from '../api/queries'
import { actorName } from '../lib/actor'
import { useClasses } from '../shell/context'
import { deed } from './words'

/** "because of #811": the cause is told when it is asked for, and can be followed further back. */
export function Because({ seq }: { seq: number }) {
  const [open, setOpen] = useState(false)
  const classes = useClasses()
  const { data: entry, isPending } = useQuery({ ...read.entryAt(seq), enabled: open })
  return (
    <span className="ml-2 text-xs text-fg-3">
      <button type="button" aria-expanded={open} className="hover:text-fg hover:underline underline-offset-4" onClick={() => setOpen(!open)}>
        because of <span className="num font-mono">#{seq}</span>
      </button>
      {open && (
        <span className="block border-l-2 border-line-2 pl-2.5 my-1 text-fg-2">
          {isPending ? (
            'Looking…'
          ) : entry ? (
            <>
              <span className="font-medium">{actorName(entry.actor)}</span> {deed(entry, classes.get(entry.class)).split(/\bit\b/)[0]}{' '}
              <Link to="/r/$cls/$key" params={{ cls: entry.class, key: entry.subject }} search={{}} className="link">
                {entry.subject}
              </Link>
              {deed(entry, classes.get(entry.class)).split(/\bit\b/)[1]}
              {entry.note && <>: {entry.note}</>}
              {entry.cause !== null && <Because seq={entry.cause} />}
            </>
          ) : (
            'That entry is not yours to see, or was kept only for a while.'
          )}
        </span>
      )}
    </span>
  )
}
