/** Which columns a list shows, how wide each is, and how its values stand. */
import type { ClassDef, Field } from '../api/types'
import { OWN_COLUMNS } from '../lib/values'

export interface Column {
  name: string
  field: Field
  /** For grid-template-columns. */
  width: string
  /** Least width in pixels: together they say when the list scrolls sideways. */
  least: number
  right: boolean
}

const WIDTHS: Partial<Record<string, [width: string, least: number]>> = {
  state: ['minmax(118px, 0.6fr)', 118],
  owner: ['minmax(72px, 0.45fr)', 72],
  priority: ['44px', 44],
  title: ['minmax(220px, 3fr)', 220],
  health: ['minmax(104px, 0.5fr)', 104],
}

function widthOf(cls: ClassDef, field: Field): [string, number] {
  const fixed = WIDTHS[field.name]
  if (fixed) return fixed
  if (field.name === 'key') return cls.prefix ? ['92px', 92] : ['minmax(150px, 1.4fr)', 150]
  if (field.type === 'time') return ['minmax(74px, 0.4fr)', 74]
  if (field.type === 'int' || field.type === 'float' || field.type === 'bytes') return ['minmax(76px, 0.35fr)', 76]
  if (field.type === 'bool' || field.type === 'duration') return ['minmax(72px, 0.3fr)', 72]
  if (field.type === 'enum') return ['minmax(92px, 0.5fr)', 92]
  return ['minmax(120px, 1fr)', 120]
}

/** All columns a list of the class could have. */
export function possible(cls: ClassDef): Field[] {
  const declared = new Set(cls.fields.map((f) => f.name))
  return [...OWN_COLUMNS.filter((c) => !declared.has(c.name)), ...cls.fields.filter((f) => !f.multiline && f.type !== 'group')]
}

export function columnsOf(cls: ClassDef, chosen?: string[]): Column[] {
  const known = new Map(possible(cls).map((f) => [f.name, f]))
  const names = chosen?.length ? chosen : cls.columns
  return names
    .map((name) => known.get(name))
    .filter((f) => f !== undefined)
    .map((field) => {
      const [width, least] = widthOf(cls, field)
      const right = (field.type === 'int' || field.type === 'float' || field.type === 'bytes') && field.name !== 'priority'
      return { name: field.name, field, width, least, right }
    })
}

/** The column that names the record and carries the link. */
export const nameColumn = (columns: Column[]): string => (columns.some((c) => c.name === 'title') ? 'title' : columns.some((c) => c.name === 'key') ? 'key' : (columns[0]?.name ?? 'key'))
