/**
 * The filter language as far as the console needs it: to complete what is being typed, to tick a facet, and to say early
 * what the server would refuse. The server compiles and answers; it has the last word.
 */
import type { ClassDef, Field } from '../api/types'
import { OWN_COLUMNS } from './values'

export interface Term {
  /** Where it stands in the text, in characters; `end` is exclusive. */
  start: number
  end: number
  negated: boolean
  /** Undefined for bare words. */
  name?: string
  compare?: '>' | '>=' | '<' | '<='
  values: string[]
  /** Text from the last comma or the colon: what is being typed when the caret stands at the end. */
  lastValueAt: number
}

const NAME = /^(-?)([A-Za-z0-9_.][A-Za-z0-9_.-]*):/

/** Splits a filter. Never fails: what is unfinished (an open quote) ends with the text. */
export function parse(text: string): Term[] {
  const terms: Term[] = []
  let i = 0
  while (i < text.length) {
    if (/\s/.test(text[i]!)) {
      i++
      continue
    }
    const start = i
    const named = NAME.exec(text.slice(i))
    const term: Term = { start, end: start, negated: text[i] === '-' && i + 1 < text.length, values: [], lastValueAt: start }
    if (named) {
      term.name = named[2]
      i += named[0].length
      const compare = /^(>=|<=|>|<)/.exec(text.slice(i))
      if (compare) {
        term.compare = compare[1] as Term['compare']
        i += compare[0].length
      }
    } else if (term.negated) i++
    do {
      if (text[i] === ',') i++
      term.lastValueAt = i
      const [value, next] = readValue(text, i)
      term.values.push(value)
      i = next
    } while (named && text[i] === ',')
    if (i === start) i++ // A lone comma: keep going.
    term.end = i
    terms.push(term)
  }
  return terms
}

function readValue(text: string, start: number): [value: string, next: number] {
  let i = start
  if (text[i] === '"') {
    let value = ''
    for (i++; i < text.length && text[i] !== '"'; i++) {
      if (text[i] === '\\' && i + 1 < text.length) i++
      value += text[i]
    }
    return [value, Math.min(i + 1, text.length)]
  }
  while (i < text.length && !/[\s,]/.test(text[i]!)) i++
  return [text.slice(start, i), i]
}

export const quote = (value: string): string => (/[\s,"]/.test(value) || value === '' ? `"${value.replace(/["\\]/g, '\\$&')}"` : value)

export function write(term: Pick<Term, 'negated' | 'name' | 'compare' | 'values'>): string {
  return (term.negated ? '-' : '') + (term.name ? `${term.name}:${term.compare ?? ''}` : '') + term.values.map(quote).join(',')
}

/** The values that the text asks for under a name, without negated and compared terms. */
export const asked = (text: string, name: string): string[] =>
  parse(text).filter((t) => t.name === name && !t.negated && !t.compare).flatMap((t) => t.values)

/** Whether a term has its colon and no value yet. */
export const unfinished = (text: string): boolean => parse(text).some((t) => t.name !== undefined && t.values.every((v) => v === ''))

/** Adds a value under a name, or takes it out when it is there. All else in the text stays as it was written. */
export function toggle(text: string, name: string, value: string): string {
  const term = parse(text).find((t) => t.name === name && !t.negated && !t.compare)
  if (!term) return `${text.trim()} ${name}:${quote(value)}`.trim()
  const values = term.values.includes(value) ? term.values.filter((v) => v !== value) : [...term.values, value]
  const written = values.length ? write({ ...term, values }) : ''
  return (text.slice(0, term.start) + written + text.slice(term.end)).replace(/\s+/g, ' ').trim()
}

/** Both filters at once: every term must hold. */
export const and = (...texts: (string | undefined)[]): string => texts.filter(Boolean).join(' ').trim()

/** Everything a filter on the class can name. */
export function names(cls: ClassDef): Field[] {
  const links: Field[] = cls.links.filter((l) => !l.field).map((l) => ({ name: l.type, title: l.title, help: l.help, type: 'ref', class: l.to }))
  const own = OWN_COLUMNS.map((c) => (c.name === 'state' ? { ...c, values: cls.states.map((s) => s.name) } : c))
  const declared = new Set(cls.fields.map((f) => f.name))
  return [...own.filter((c) => !declared.has(c.name)), ...cls.fields, ...links]
}

/** Distance of two words in edits, for near names. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) next[j] = Math.min(next[j - 1]! + 1, row[j]! + 1, row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1))
    row = next
  }
  return row[b.length]!
}

export function near(word: string, known: string[]): string[] {
  return known
    .map((k) => [k, k.startsWith(word) ? 0 : distance(word, k)] as const)
    .filter(([, d]) => d <= Math.max(2, word.length / 3))
    .toSorted((a, b) => a[1] - b[1])
    .slice(0, 3)
    .map(([k]) => k)
}

export interface Mistake {
  message: string
  near: string[]
  /** The word to replace. */
  word: string
}

/** Names that the class does not have. Dotted names follow links and are left to the server. */
export function mistake(text: string, cls: ClassDef): Mistake | null {
  const known = names(cls)
  for (const term of parse(text)) {
    if (!term.name || term.name.includes('.')) continue
    const field = known.find((f) => f.name === term.name)
    // A reverse link or another class may be named too: only what is close to a known name is surely a slip.
    if (!field) {
      const close = near(term.name, known.map((f) => f.name))
      if (close.length) return { message: `${cls.plural} have no “${term.name}”`, near: close, word: term.name }
    }
  }
  return null
}

export interface Suggestion {
  /** The text with the suggestion taken, and where the caret goes. */
  text: string
  caret: number
  label: string
  hint: string
}

/** What may stand at the caret: names at the start of a term, values after a colon. */
export function suggest(text: string, caret: number, cls: ClassDef, values: (field: Field) => string[] = () => []): Suggestion[] {
  const term = parse(text).find((t) => caret >= t.start && caret <= t.end)
  const known = names(cls)
  if (term?.name && caret >= term.lastValueAt) {
    const field = known.find((f) => f.name === term.name)
    if (!field) return []
    const typed = text.slice(term.lastValueAt, caret).replaceAll('"', '').toLowerCase()
    return candidates(field, cls, values)
      .filter((v) => v.toLowerCase().includes(typed) && v.toLowerCase() !== typed && (!term.values.includes(v) || v.toLowerCase() === typed))
      .slice(0, 10)
      .map((v) => put(text, term.lastValueAt, term.end, quote(v), v, field.title))
  }
  const start = term ? term.start + (term.negated ? 1 : 0) : caret
  const typed = text.slice(start, caret).toLowerCase()
  return known
    .filter((f) => f.name.includes(typed) || (typed && f.title.toLowerCase().includes(typed)))
    .toSorted((a, b) => Number(b.name.startsWith(typed)) - Number(a.name.startsWith(typed)))
    .slice(0, 10)
    .map((f) => put(text, start, term?.end ?? caret, f.name + ':', f.name + ':', f.title + (f.unit ? `, ${f.unit}` : '')))
}

function put(text: string, start: number, end: number, word: string, label: string, hint: string): Suggestion {
  return { text: text.slice(0, start) + word + text.slice(end), caret: start + word.length, label, hint }
}

function candidates(field: Field, cls: ClassDef, values: (field: Field) => string[]): string[] {
  if (field.name === 'state') return [...(cls.states.some((s) => s.open) ? ['open'] : []), ...cls.states.map((s) => s.name)]
  if (field.values?.length) return [...field.values, 'none']
  if (field.type === 'bool') return ['true', 'false']
  if (field.type === 'time') return ['>-1h', '>-24h', '>-7d', '>-30d', '<-7d']
  return [...values(field), 'none', 'any']
}
