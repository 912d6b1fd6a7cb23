import { useState, type FormEvent, type KeyboardEvent } from 'react'
import { Problem } from '../api/http'
import type { Fields, Rec, TransitionDef } from '../api/types'
import { asked, missing } from '../form/draft'
import { FieldsForm } from '../form/FieldsForm'
import { Kbd } from '../ui/atoms'
import { Labelled } from '../ui/Labelled'
import { Modal } from '../ui/Modal'

export interface Input {
  fields?: Fields
  note?: string
}

/** Asks for what a transition wants to know. Refusals stand at the field they are about. */
export function TransitionDialog({ transition, about, record, onClose, onDo }: { transition: TransitionDef; about: string; record?: Rec; onClose: () => void; onDo: (input: Input) => Promise<void> }) {
  const [{ fields, values: first }] = useState(() => asked(transition, record?.fields))
  const [values, setValues] = useState<Fields>(first)
  const [note, setNote] = useState('')
  const [errors, setErrors] = useState<Record<string, string>>({})
  const [refusal, setRefusal] = useState('')
  const [busy, setBusy] = useState(false)

  async function submit(event?: FormEvent): Promise<void> {
    event?.preventDefault()
    const gaps = missing(fields, values)
    setErrors(gaps)
    if (Object.keys(gaps).length || busy) return
    setBusy(true)
    try {
      await onDo({ fields: values, ...(note.trim() ? { note: note.trim() } : {}) })
      onClose()
    } catch (error) {
      const byField = error instanceof Problem ? error.byField() : {}
      setErrors(byField)
      setRefusal(Object.keys(byField).length ? '' : error instanceof Error ? error.message : 'It was refused.')
      setBusy(false)
    }
  }

  const onKey = (event: KeyboardEvent): void => {
    if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) void submit()
  }

  return (
    <Modal open onClose={onClose} title={`${transition.title} ${about}`}>
      {/* oxlint-disable-next-line jsx-a11y/no-noninteractive-element-interactions */}
      <form onSubmit={(e) => void submit(e)} onKeyDown={onKey} className="contents">
        <div className="scroll p-4 space-y-4">
          {transition.help && <p className="text-fg-2">{transition.help}</p>}
          <FieldsForm fields={fields} values={values} errors={errors} onChange={setValues} />
          <Labelled label="Note for the timeline">{(parts) => <textarea {...parts} className="input h-auto py-1.5 min-h-14" rows={2} value={note} onChange={(e) => setNote(e.target.value)} />}</Labelled>
          {refusal && (
            <p role="alert" className="text-crit bg-crit-soft rounded px-2.5 py-1.5">
              {refusal}
            </p>
          )}
        </div>
        <footer className="flex items-center justify-end gap-2 px-4 py-3 border-t border-line shrink-0">
          <button type="button" className="btn" onClick={onClose}>
            Cancel
          </button>
          <button type="submit" className="btn btn-primary" disabled={busy}>
            {transition.title} <Kbd>Ctrl ↵</Kbd>
          </button>
        </footer>
      </form>
    </Modal>
  )
}
