import { ListFilter, X } from 'lucide-react'
import { useEffect, useId, useLayoutEffect, useRef, useState, type KeyboardEvent, type RefObject } from 'react'
import { Problem } from '../api/http'
import type { ClassDef } from '../api/types'
import { mistake, suggest, unfinished } from '../lib/filter'
import { IconButton, Kbd } from '../ui/atoms'

interface Props {
  cls: ClassDef
  text: string
  onText: (text: string) => void
  input: RefObject<HTMLInputElement | null>
  /** The server's refusal of the filter, if it was one. */
  error: unknown
}

const WAIT_MS = 300

/**
 * The filter as text, with names and values offered. What is typed goes to the address after a moment; only an outside
 * change of the address may overwrite what is being typed, or a slow machine would eat letters.
 */
export function FilterBar({ cls, text, onText, input, error }: Props) {
  const [draft, setDraft] = useState(text)
  const pushed = useRef(text)
  const [caret, setCaret] = useState<number | null>(null)
  const [chosen, setChosen] = useState(-1)
  const listId = useId()
  // Where the caret goes with the text that was taken. In the same moment: whoever types on is not overtaken by it.
  const placed = useRef<number | null>(null)

  useLayoutEffect(() => {
    if (placed.current === null) return
    input.current?.setSelectionRange(placed.current, placed.current)
    placed.current = null
  })
  useEffect(() => {
    if (text === pushed.current) return
    pushed.current = text
    setDraft(text)
  }, [text])
  useEffect(() => {
    // `state:` alone is the beginning of a term, not a filter yet.
    if (draft === pushed.current || unfinished(draft)) return
    const timer = setTimeout(() => {
      pushed.current = draft
      onText(draft)
    }, WAIT_MS)
    return () => clearTimeout(timer)
  }, [draft, onText])

  const offers = caret === null ? [] : suggest(draft, caret, cls)
  const slip = mistake(draft, cls)
  const refusal = error instanceof Problem && [400, 422].includes(error.status) ? error : null
  // The detail repeats the near names, which stand here as buttons.
  const said = refusal?.body.errors?.[0]?.message ?? refusal?.message
  const near = slip?.near ?? refusal?.body.near ?? []
  const word = slip?.word ?? /"([^"]+)"\s*$/.exec(said ?? '')?.[1]

  function change(next: string, at: number): void {
    setDraft(next)
    setCaret(at)
    setChosen(-1)
  }

  function takeOffer(n: number): void {
    const offer = offers[n]
    if (!offer) return
    placed.current = offer.caret
    change(offer.text, offer.caret)
    input.current?.focus()
  }

  function onKey(event: KeyboardEvent<HTMLInputElement>): void {
    if ((event.key === 'ArrowDown' || event.key === 'ArrowUp') && offers.length) {
      event.preventDefault()
      setChosen((c) => Math.max(-1, Math.min(offers.length - 1, c + (event.key === 'ArrowDown' ? 1 : -1))))
    } else if ((event.key === 'Tab' && !event.shiftKey && offers.length && draft.trim()) || (event.key === 'Enter' && chosen >= 0)) {
      event.preventDefault()
      takeOffer(Math.max(0, chosen))
    } else if (event.key === 'Enter') {
      pushed.current = draft
      onText(draft)
      event.currentTarget.blur()
    } else if (event.key === 'Escape') {
      event.stopPropagation()
      event.preventDefault()
      if (offers.length && chosen >= 0) setCaret(null)
      else event.currentTarget.blur()
    }
  }

  return (
    <div className="flex-1 min-w-0 relative">
      <div className="flex items-center gap-2 h-8 px-2.5 rounded border border-ctl bg-surface focus-within:border-accent focus-within:outline focus-within:outline-1 focus-within:outline-accent max-lg:h-11">
        <ListFilter size={14} className="text-fg-3 shrink-0" aria-hidden />
        <input
          ref={input}
          role="combobox"
          aria-label={`Filter ${cls.plural.toLowerCase()}`}
          aria-expanded={offers.length > 0}
          aria-controls={listId}
          aria-activedescendant={chosen >= 0 ? `${listId}-${chosen}` : undefined}
          aria-invalid={Boolean(slip || refusal)}
          value={draft}
          onChange={(e) => change(e.target.value, e.target.selectionStart ?? e.target.value.length)}
          onSelect={(e) => setCaret(e.currentTarget.selectionStart)}
          onFocus={(e) => setCaret(e.target.selectionStart)}
          onBlur={() => setCaret(null)}
          onKeyDown={onKey}
          spellCheck={false}
          autoComplete="off"
          autoCapitalize="none"
          placeholder="Filter by words, or state:open owner:none updated:>-7d"
          className="flex-1 min-w-0 bg-transparent outline-none font-mono text-xs placeholder:font-sans placeholder:text-sm max-lg:text-md"
        />
        {draft ? (
          <IconButton label="Clear filter" className="!size-6 -mr-1" onClick={() => change('', 0)}>
            <X size={13} />
          </IconButton>
        ) : (
          <Kbd>/</Kbd>
        )}
      </div>
      <div id={listId} role="listbox" aria-label="Suggestions" className={offers.length ? 'popup absolute z-30 left-0 top-full mt-1 w-[min(420px,100%)] p-1 max-h-80 scroll' : 'hidden'}>
        {offers.map((offer, i) => (
          // oxlint-disable-next-line jsx-a11y/click-events-have-key-events, jsx-a11y/interactive-supports-focus
          <div key={offer.label} id={`${listId}-${i}`} role="option" aria-selected={i === chosen} onPointerDown={(e) => e.preventDefault()} onClick={() => takeOffer(i)} className={`flex items-center gap-3 h-7 px-2 rounded max-lg:h-11 ${i === chosen ? 'bg-accent-soft' : 'hover:bg-hover'}`}>
            <span className="font-mono text-xs">{offer.label}</span>
            <span className="ml-auto text-2xs text-fg-3 truncate">{offer.hint}</span>
          </div>
        ))}
      </div>
      {(slip || refusal) && caret === null && (
        <p role="alert" className="flex items-center gap-1.5 flex-wrap pt-1.5 text-xs text-crit">
          {slip ? slip.message : said}.
          {near.length > 0 && <span className="text-fg-2">Did you mean</span>}
          {near.map((n) => (
            <button key={n} type="button" className="link font-mono" onClick={() => word && change(draft.replace(word, n), draft.length)}>
              {n}
            </button>
          ))}
        </p>
      )}
    </div>
  )
}
