import { Link } from '@tanstack/react-router'
import { useState } from 'react'
import type { Field, Json } from '../api/types'
import { show } from '../lib/values'

/** Longer values are folded: a page is read from the top, and the whole is one click away. */
const LETTERS = 600
const LINES = 10

/** A value to read: a reference leads to its record, an address to its page, and what is long can be unfolded. */
export function Value({ value, field }: { value: Json | undefined; field: Field }) {
  if (field.type === 'ref' && typeof value === 'string' && field.class?.length === 1) return <Reference cls={field.class[0]!} name={value} />
  const item = field.item
  if (field.type === 'list' && item?.type === 'ref' && item.class?.length === 1 && Array.isArray(value)) {
    return value.map((name, i) => (
      <span key={String(name)}>
        {i > 0 && ', '}
        <Reference cls={item.class![0]!} name={String(name)} />
      </span>
    ))
  }
  const text = show(value, field)
  if (field.type === 'text' && /^https?:\/\/\S+$/.test(text)) {
    return (
      <a className="link break-all" href={text} target="_blank" rel="noreferrer">
        {text}
      </a>
    )
  }
  return text.length > LETTERS || text.split('\n').length > LINES ? <Long text={text} /> : text
}

function Reference({ cls, name }: { cls: string; name: string }) {
  return (
    <Link to="/r/$cls/$key" params={{ cls, key: name }} search={{}} className="link">
      {name}
    </Link>
  )
}

function Long({ text }: { text: string }) {
  const [whole, setWhole] = useState(false)
  const cut = text.split('\n').slice(0, LINES).join('\n').slice(0, LETTERS)
  return (
    <>
      {whole ? text : `${cut}…`}{' '}
      <button type="button" className="link text-xs" aria-expanded={whole} onClick={() => setWhole(!whole)}>
        {whole ? 'Show less' : `Show all ${text.length.toLocaleString('en-GB')} letters`}
      </button>
    </>
  )
}
