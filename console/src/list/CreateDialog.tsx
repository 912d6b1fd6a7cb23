import { useNavigate } from '@tanstack/react-router'
import { useState, type FormEvent, type KeyboardEvent } from 'react'
import * as acts from '../api/acts'
import { Problem } from '../api/http'
import type { ClassDef, Fields } from '../api/types'
import { changes, defaults, missing } from '../form/draft'
import { FieldsForm } from '../form/FieldsForm'
import { Kbd } from '../ui/atoms'
import { Labelled } from '../ui/Labelled'
import { Modal } from '../ui/Modal'
import { did } from '../ui/toast'

/** A new record of a class: its form, empty but for defaults. Classes without numbers ask for a key, too. */
export function CreateDialog({ cls, onClose }: { cls: ClassDef; onClose: () => void }) {
  const navigate = useNavigate()
  const [values, setValues] = useState<Fields>(() => defaults(cls.fields))
  const [key, setKey] = useState('')
  const [errors, setErrors] = useState<Record<string, string>>({})
  const [refusal, setRefusal] = useState('')
  const [busy, setBusy] = useState(false)

  async function submit(event?: FormEvent): Promise<void> {
    event?.preventDefault()
    const gaps = missing(cls.fields, values)
    setErrors(gaps)
    if (Object.keys(gaps).length || busy) return
    setBusy(true)
    try {
      const record = await acts.create(cls.name, { ...(key ? { key } : {}), fields: changes({}, values) })
      did(`${record.key} is made`)
      onClose()
      await navigate({ to: '/r/$cls/$key', params: { cls: cls.name, key: record.key }, search: {} })
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
    <Modal open onClose={onClose} title={`New ${cls.title.toLowerCase()}`} width={680}>
      {/* oxlint-disable-next-line jsx-a11y/no-noninteractive-element-interactions */}
      <form onSubmit={(e) => void submit(e)} onKeyDown={onKey} className="contents">
        <div className="scroll p-4 space-y-4">
          {cls.help && <p className="text-fg-2">{cls.help}</p>}
          {!cls.prefix && (
            <Labelled label="Key" help="Permanent: small letters, digits, dots and hyphens. Left out, Mainstay makes one." error={errors.key}>
              {(parts) => <input {...parts} className="input font-mono text-xs" value={key} onChange={(e) => setKey(e.target.value)} spellCheck={false} autoComplete="off" />}
            </Labelled>
          )}
          <FieldsForm fields={cls.fields.filter((f) => !f.computed)} values={values} errors={errors} onChange={setValues} />
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
            Create {cls.title.toLowerCase()} <Kbd>Ctrl ↵</Kbd>
          </button>
        </footer>
      </form>
    </Modal>
  )
}
