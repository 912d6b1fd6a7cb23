/** Values of fields as text for people, and back. */
import type { Field, HealthState, Json, Rec } from '../api/types'
import { full } from './time'

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB']

export function bytes(n: number): string {
  let i = 0
  while (Math.abs(n) >= 1024 && i < UNITS.length - 1) {
    n /= 1024
    i++
  }
  return `${Number.isInteger(n) ? n : n.toFixed(n < 100 ? 1 : 0)} ${UNITS[i]}`
}

/** Reads "16 GiB", "512m" or "1048576"; null when it is none of these. */
export function readBytes(text: string): number | null {
  const m = /^\s*(\d+(?:\.\d+)?)\s*([kmgtp]?)(?:i?b)?\s*$/i.exec(text)
  if (!m) return null
  return Math.round(Number(m[1]) * 1024 ** ['', 'k', 'm', 'g', 't', 'p'].indexOf(m[2]!.toLowerCase()))
}

export const isDuration = (text: string): boolean => /^(0|(\d+(ms|s|m|h|d|w))+)$/.test(text)

export const empty = (v: Json | undefined): boolean => v === null || v === undefined || v === '' || (Array.isArray(v) && v.length === 0)

/** A value in one line. `field` may be unknown (observed values have none). */
export function show(value: Json | undefined, field?: Field): string {
  if (empty(value)) return ''
  if (field?.type === 'bytes' && typeof value === 'number') return bytes(value)
  if (field?.type === 'time' && typeof value === 'string') return full(value)
  if (typeof value === 'boolean') return value ? 'yes' : 'no'
  if (typeof value === 'number') return value.toLocaleString('en') + (field?.unit ? ` ${field.unit}` : '')
  if (typeof value === 'string') return field?.unit ? `${value} ${field.unit}` : value
  if (Array.isArray(value)) return value.map((v) => show(v, field?.item)).join(', ')
  return Object.entries(value as Record<string, Json>)
    .filter(([, v]) => !empty(v))
    .map(([k, v]) => `${k}: ${show(v, field?.fields?.find((f) => f.name === k) ?? field?.item)}`)
    .join(', ')
}

export const same = (a: Json | undefined, b: Json | undefined): boolean => JSON.stringify(a ?? null) === JSON.stringify(b ?? null)

/** "sends-pages" as a sentence starts: "Sends pages". Words in capitals stay. */
export const sentence = (name: string): string => {
  const words = name.replaceAll('-', ' ').replaceAll('_', ' ')
  return words.charAt(0).toUpperCase() + words.slice(1)
}

export const plural = (n: number, one: string, many = one + 's'): string => `${n.toLocaleString('en')} ${n === 1 ? one : many}`

export const healthOf = (r: Pick<Rec, 'health'> | { health: Rec['health'] | HealthState | null }): HealthState | null =>
  r.health === null || r.health === undefined ? null : typeof r.health === 'string' ? r.health : r.health.state

/** Fields every record has, as columns and filter names. */
export const OWN_COLUMNS: Field[] = [
  { name: 'key', title: 'Key', help: 'Permanent key', type: 'text' },
  { name: 'title', title: 'Title', help: '', type: 'text' },
  { name: 'state', title: 'State', help: 'State of its life cycle', type: 'enum' },
  { name: 'owner', title: 'Owner', help: 'Who has it', type: 'ref', class: ['person'] },
  { name: 'health', title: 'Health', help: '', type: 'enum', values: ['up', 'degraded', 'down', 'unknown', 'maintenance'] },
  { name: 'created', title: 'Created', help: '', type: 'time' },
  { name: 'updated', title: 'Changed', help: '', type: 'time' },
  { name: 'state_since', title: 'In this state since', help: '', type: 'time' },
]
const OWN = new Set(OWN_COLUMNS.map((c) => c.name))

export const isOwn = (name: string): boolean => OWN.has(name)

export function valueOf(r: Rec, name: string): Json | undefined {
  if (OWN.has(name) && !(name === 'title' && 'title' in r.fields)) return name === 'health' ? healthOf(r) : (r[name as keyof Rec] as Json)
  return name.split('.').reduce<Json | undefined>((v, part) => (v && typeof v === 'object' && !Array.isArray(v) ? v[part] : undefined), r.fields)
}
