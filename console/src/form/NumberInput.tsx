import { useState, type ComponentProps } from 'react'
import type { Field, Json } from '../api/types'
import { bytes, readBytes } from '../lib/values'

type Props = Omit<ComponentProps<'input'>, 'value' | 'onChange'> & { field: Field; value: Json | undefined; onChange: (value: Json) => void }

const text = (field: Field, value: Json | undefined): string => (typeof value !== 'number' ? String(value ?? '') : field.type === 'bytes' ? bytes(value) : String(value))

/** A number. Sizes may be written as "16 GiB". What cannot be read stays as text, so that nothing typed is lost. */
export function NumberInput({ field, value, onChange, ...rest }: Props) {
  const [typed, setTyped] = useState<string | null>(null)

  function take(next: string): void {
    setTyped(next)
    const read = field.type === 'bytes' ? readBytes(next) : next.trim() === '' || Number.isNaN(Number(next)) ? null : Number(next)
    onChange(next.trim() === '' ? null : (read ?? next))
  }

  return <input {...rest} className="input num" inputMode={field.type === 'bytes' ? undefined : 'decimal'} value={typed ?? text(field, value)} onChange={(e) => take(e.target.value)} onBlur={() => setTyped(null)} />
}
