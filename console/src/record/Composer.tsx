import { useQueryClient } from '@tanstack/react-query'
import { useRef, useState, type FormEvent, type KeyboardEvent } from 'react'
import * as acts from '../api/acts'
import { useKept } from '../lib/kept'
import { useKeys } from '../lib/keys'
import { Kbd } from '../ui/atoms'
import { failed } from '../ui/toast'
import type { Subject } from './Timeline'

/** What a person sees or does, in words. Ctrl Enter posts; what was typed stays until it has arrived. */
export function Composer({ subject }: { subject: Subject }) {
  const client = useQueryClient()
  const [text, setText] = useKept(`note:${subject.class}/${subject.key}`)
  const [busy, setBusy] = useState(false)
  const area = useRef<HTMLTextAreaElement>(null)
  useKeys({ n: () => area.current?.focus() })

  async function post(event?: FormEvent): Promise<void> {
    event?.preventDefault()
    if (!text.trim() || busy) return
    setBusy(true)
    try {
      await acts.note(subject.class, subject.key, text.trim())
      setText('')
      void client.invalidateQueries({ queryKey: ['journal', subject.key] })
    } catch (error) {
      failed('The note was not written', error)
    }
    setBusy(false)
  }
  const onKey = (event: KeyboardEvent): void => {
    if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) void post()
    if (event.key === 'Escape') {
      event.stopPropagation()
      area.current?.blur()
    }
  }

  return (
    <form onSubmit={(e) => void post(e)} className="mt-3 rounded-lg border border-ctl bg-surface focus-within:border-accent focus-within:outline focus-within:outline-1 focus-within:outline-accent">
      <textarea
        ref={area}
        aria-label="Note"
        value={text}
        onChange={(e) => setText(e.target.value)}
        onKeyDown={onKey}
        rows={2}
        placeholder="Write what you see or do"
        className="w-full px-3 pt-2.5 bg-transparent outline-none resize-none field-sizing-content min-h-[3.25rem] max-lg:text-md"
      />
      <div className="flex items-center justify-end gap-2 px-2 pb-2">
        <span className="max-lg:hidden">
          <Kbd>Ctrl ↵</Kbd>
        </span>
        <button type="submit" className="btn btn-primary" disabled={!text.trim() || busy}>
          Post
        </button>
      </div>
    </form>
  )
}
