import { useState } from 'react'
import type { Json } from '../api/types'
import { Labelled } from '../ui/Labelled'
import type { InputProps } from './FieldInput'

const write = (value: Json | undefined): string => (value === undefined || value === null ? '' : JSON.stringify(value, null, 2))

function read(text: string): { value: Json } | { wrong: string } {
  if (!text.trim()) return { value: null }
  try {
    const value = JSON.parse(text) as Json
    return value !== null && typeof value === 'object' && !Array.isArray(value) ? { value } : { wrong: 'This must be an object: { "name": value }' }
  } catch (error) {
    return { wrong: error instanceof Error ? error.message : 'This cannot be read' }
  }
}

/** A group whose names only its reader knows (settings of a channel, expectations of a check): written as JSON. */
export function OpenInput({ field, value, onChange, error, readOnly }: InputProps) {
  const [typed, setTyped] = useState<string | null>(null)
  const answer = typed === null ? null : read(typed)
  const wrong = answer && 'wrong' in answer ? answer.wrong : undefined
  return (
    <Labelled label={field.title} help={[field.help, 'Written as JSON.'].filter(Boolean).join(' ')} required={field.required} error={wrong ?? error}>
      {(parts) => (
        <textarea
          {...parts}
          readOnly={readOnly}
          rows={3}
          spellCheck={false}
          className="input h-auto py-1.5 min-h-[4.5rem] font-mono text-xs field-sizing-content"
          value={typed ?? write(value)}
          placeholder="{ }"
          onChange={(e) => {
            setTyped(e.target.value)
            const next = read(e.target.value)
            if ('value' in next) onChange(next.value)
          }}
          onBlur={() => {
            if (!wrong) setTyped(null)
          }}
        />
      )}
    </Labelled>
  )
}
