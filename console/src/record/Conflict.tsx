import { useState } from 'react'
import type { ClassDef, Fields, Rec } from '../api/types'
import { same, show } from '../lib/values'
import { Modal } from '../ui/Modal'

/**
 * Somebody else saved first (412). Both versions stand side by side; the person chooses field by field. Fields that only
 * one side changed need no choice.
 */
export function Conflict({ cls, base, current, mine, onChoose, onClose }: { cls: ClassDef; base: Rec; current: Rec; mine: Fields; onChoose: (patch: Fields) => void; onClose: () => void }) {
  const names = Object.keys(mine)
  const contested = names.filter((n) => !same(base.fields[n], current.fields[n]) && !same(current.fields[n], mine[n]))
  const [keepMine, setKeepMine] = useState<Set<string>>(() => new Set(names.filter((n) => !contested.includes(n))))
  const field = (name: string) => cls.fields.find((f) => f.name === name)
  const choose = (name: string, yours: boolean): void => setKeepMine((s) => new Set(yours ? [...s, name] : [...s].filter((n) => n !== name)))

  return (
    <Modal open onClose={onClose} title={`${current.key} was changed meanwhile`} width={760}>
      <div className="scroll p-4">
        <p className="text-fg-2 mb-3">
          You began with version {base.version}; it is at version {current.version} now. {contested.length ? 'Choose what stands.' : 'The other change does not touch yours: both can stand.'}
        </p>
        <div className="border border-line rounded overflow-hidden">
          <div className="grid grid-cols-[110px_1fr_1fr] gap-x-3 bg-bg label h-7 items-center px-3">
            <span>Field</span>
            <span>There now</span>
            <span>Yours</span>
          </div>
          {names.map((name) => (
            <div key={name} role="radiogroup" aria-label={field(name)?.title ?? name} className="grid grid-cols-[110px_1fr_1fr] gap-x-3 items-start px-3 py-2 border-t border-line-soft">
              <span className="text-fg-3 pt-1">{field(name)?.title ?? name}</span>
              <Side name={name} label="there now" text={show(current.fields[name], field(name))} on={!keepMine.has(name)} onChoose={() => choose(name, false)} />
              <Side name={name} label="yours" text={show(mine[name], field(name))} on={keepMine.has(name)} onChoose={() => choose(name, true)} />
            </div>
          ))}
        </div>
      </div>
      <footer className="flex items-center justify-end gap-2 px-4 py-3 border-t border-line shrink-0">
        <button type="button" className="btn" onClick={onClose}>
          Back to the form
        </button>
        <button type="button" className="btn btn-primary" onClick={() => onChoose(Object.fromEntries(names.filter((n) => keepMine.has(n)).map((n) => [n, mine[n] ?? null])))}>
          {keepMine.size ? `Save ${keepMine.size} of yours` : 'Keep what is there'}
        </button>
      </footer>
    </Modal>
  )
}

function Side({ name, label, text, on, onChoose }: { name: string; label: string; text: string; on: boolean; onChoose: () => void }) {
  return (
    <label className={`flex items-start gap-2 rounded px-2 py-1 border min-w-0 ${on ? 'border-accent-line bg-accent-soft' : 'border-line'}`}>
      <input type="radio" name={`conflict-${name}`} className="accent-[var(--accent)] mt-1" checked={on} onChange={onChoose} aria-label={`${name}, ${label}: ${text || 'nothing'}`} />
      <span className="break-words min-w-0 whitespace-pre-wrap">{text || <span className="text-fg-3">nothing</span>}</span>
    </label>
  )
}
