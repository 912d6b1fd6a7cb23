import { keepPreviousData, useQuery } from '@tanstack/react-query'
import { Link } from '@tanstack/react-router'
import { ArrowUpRight, X } from 'lucide-react'
import { useDeferredValue, useState, type KeyboardEvent } from 'react'
import { api, at, query } from '../api/http'
import * as read from '../api/queries'
import type { Head, Json, RecordPage } from '../api/types'
import { quote } from '../lib/filter'
import { healthOf } from '../lib/values'
import { HealthSign } from '../ui/signs'

interface Props {
  id?: string
  classes: string[]
  value: string | null
  onChange: (value: Json, picked?: Head) => void
  readOnly?: boolean
  placeholder?: string
  'aria-describedby'?: string
  'aria-invalid'?: boolean
  'aria-label'?: string
}

const MOST = 8

/** Records that can be picked: by words in the classes that fit, or by the server's search when any class does. */
function useOffers(classes: string[], words: string, open: boolean) {
  const anywhere = useQuery({ ...read.search(words, MOST), enabled: open && !classes.length && words.length > 1 })
  const among = useQuery({
    queryKey: ['offers', classes, words],
    queryFn: async ({ signal }) => {
      const filter = words ? quote(words) : ''
      const pages = await Promise.all(classes.map((cls) => api<RecordPage>(at(cls) + query({ filter, limit: MOST }), { signal })))
      return pages.flatMap((p) => p.records).slice(0, MOST) as Head[]
    },
    enabled: open && classes.length > 0,
    placeholderData: keepPreviousData,
  })
  return classes.length ? (among.data ?? []) : ((anywhere.data as Head[] | undefined) ?? [])
}

/** Picks a record: type to search, arrows and Enter to choose. The value is its key. */
export function RefPicker({ classes, value, onChange, readOnly, placeholder, ...parts }: Props) {
  const [text, setText] = useState<string | null>(null)
  const [chosen, setChosen] = useState(0)
  const open = text !== null
  const offers = useOffers(classes, useDeferredValue(text?.trim() ?? ''), open)
  const listId = `${parts.id ?? 'ref'}-offers`

  function pick(head: Head | undefined): void {
    if (!head) return
    onChange(head.key, head)
    setText(null)
  }

  function onKey(event: KeyboardEvent): void {
    if (event.key === 'ArrowDown' || event.key === 'ArrowUp') {
      event.preventDefault()
      if (!open) setText('')
      else setChosen(Math.max(0, Math.min(offers.length - 1, chosen + (event.key === 'ArrowDown' ? 1 : -1))))
    } else if (event.key === 'Enter' && open) {
      event.preventDefault()
      pick(offers[chosen])
    } else if (event.key === 'Escape' && open) {
      event.stopPropagation()
      setText(null)
    }
  }

  if (readOnly) return <input {...parts} readOnly className="input font-mono text-xs" value={value ?? ''} />
  return (
    <div className="relative">
      <input
        {...parts}
        role="combobox"
        aria-expanded={open}
        aria-controls={listId}
        aria-activedescendant={open && offers[chosen] ? `${listId}-${chosen}` : undefined}
        className={`input ${value && !open ? 'pr-14' : ''}`}
        value={text ?? value ?? ''}
        placeholder={placeholder ?? (classes.length ? `Search ${classes.join(', ')}` : 'Search any record')}
        spellCheck={false}
        autoComplete="off"
        onFocus={(e) => e.target.select()}
        onChange={(e) => {
          setText(e.target.value)
          setChosen(0)
        }}
        onClick={() => !open && setText('')}
        onKeyDown={onKey}
        onBlur={() => setText(null)}
      />
      {value && !open && (
        <span className="absolute right-1 top-1/2 -translate-y-1/2 flex">
          {classes.length === 1 && (
            <Link to="/r/$cls/$key" params={{ cls: classes[0]!, key: value }} search={{}} aria-label={`Open ${value}`} className="icon-btn !size-6">
              <ArrowUpRight size={13} />
            </Link>
          )}
          <button type="button" aria-label={`Clear ${value}`} className="icon-btn !size-6" onClick={() => onChange(null)}>
            <X size={13} />
          </button>
        </span>
      )}
      {open && (
        <div id={listId} role="listbox" aria-label="Records" className="popup absolute z-30 left-0 right-0 top-full mt-1 p-1 max-h-64 scroll">
          {offers.map((head, i) => {
            const health = healthOf(head)
            return (
              // The input owns the focus; a press must not take it away before the click.
              // oxlint-disable-next-line jsx-a11y/click-events-have-key-events, jsx-a11y/interactive-supports-focus
              <div key={`${head.class}/${head.key}`} id={`${listId}-${i}`} role="option" aria-selected={i === chosen} onPointerDown={(e) => e.preventDefault()} onPointerMove={() => setChosen(i)} onClick={() => pick(head)} className={`flex items-center gap-2 h-8 px-2 rounded max-lg:h-11 ${i === chosen ? 'bg-accent-soft' : ''}`}>
                {health && <HealthSign health={health} size={11} />}
                <span className="truncate">{head.title}</span>
                <span className="ml-auto font-mono text-2xs text-fg-3 truncate">{head.title === head.key ? head.class : head.key}</span>
              </div>
            )
          })}
          {!offers.length && <p className="px-2 py-2 text-fg-3">{classes.length || (text?.length ?? 0) > 1 ? 'Nothing found' : 'Type two letters or more'}</p>}
        </div>
      )}
    </div>
  )
}
