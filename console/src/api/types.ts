/**
 * The shapes of the API. What all records share comes from the server's own description (schema.d.ts, written by
 * `npm run generate`, kept equal by e2e/types.test.mjs); what a class describes of itself at run time is written here. Times are
 * RFC 3339 in UTC, durations are text such as "30s".
 */
import type { components } from './schema'

type Schemas = components['schemas']

export type Health = Schemas['Health']
export type HealthState = Health['state']

export type Json = null | boolean | number | string | Json[] | { [name: string]: Json }
export type Fields = Record<string, Json>

/** Where another record is mentioned: enough to show and open it. */
export interface Head {
  class: string
  key: string
  title: string
  state: string
  health: Health | HealthState | null
}

export type Link = Schemas['Neighbour'] & { health: Health | null }

/** A record; its fields are those that its class names, its links are there when one record is read. */
export type Rec = Omit<Schemas['Record'], 'fields' | 'links'> & { fields: Fields; links?: Link[] }

export interface RecordPage {
  records: Rec[]
  next_cursor: string | null
  total: number | null
  estimate?: number
  slow?: boolean
}

export interface Counts {
  by: string
  counts: { value: string | null; count: number }[]
}

export type Word = 'text' | 'int' | 'float' | 'bool' | 'time' | 'duration' | 'bytes' | 'enum' | 'ref' | 'list' | 'map' | 'group'

export interface Field {
  name: string
  title: string
  help: string
  type: Word
  unit?: string | null
  required?: boolean
  default?: Json
  values?: string[]
  class?: string[]
  relation?: string
  min?: number
  max?: number
  pattern?: string
  item?: Field
  fields?: Field[]
  indexed?: boolean
  computed?: boolean
  multiline?: boolean
}

export interface StateDef {
  name: string
  open: boolean
  initial: boolean
  help: string
}

export interface TransitionDef {
  name: string
  title: string
  from: string[]
  /** null: the state stays. */
  to: string | null
  help: string
  input: Field[]
  /** Fields that must have a value afterwards. */
  requires: string[]
  machine: boolean
  takes_owner?: boolean
}

export interface LinkDef {
  type: string
  title: string
  reverse: string
  reverse_title: string
  to: string[]
  many: boolean
  required: boolean
  on_delete: 'unlink' | 'block' | 'cascade'
  help: string
  /** The ref field from which the link is lifted, if any: then the field is edited, not the link. */
  field?: string
}

export type Verb = 'know' | 'watch' | 'respond' | 'serve' | 'change' | 'protect' | 'plan' | 'prove' | 'kernel'

export interface ClassDef {
  name: string
  title: string
  plural: string
  verb: Verb
  help: string
  prefix: string | null
  builtin: boolean
  fields: Field[]
  states: StateDef[]
  transitions: TransitionDef[]
  links: LinkDef[]
  columns: string[]
  sort: string[]
  practices?: string[]
}

export interface SeriesPoints {
  labels: Record<string, string>
  /** Unix milliseconds and value. */
  points: [number, number][]
}

export interface Actor {
  kind: 'person' | 'token' | 'controller' | 'agent' | 'local' | 'system'
  key: string
}

export type Entry = Omit<Schemas['Entry'], 'actor' | 'before' | 'after'> & { actor: Actor; before: Fields; after: Fields }

export interface EntryPage {
  entries: Entry[]
  next: number | null
}

export interface Interval {
  id: string
  state: HealthState
  start: string
  end: string | null
  cause: number
  reason: string
  corrected_by: string | null
}

export interface Observation {
  table: string
  item: string
  source: string
  value: Json
  first_seen: string
  last_seen: string
  gone: string | null
}

export interface Drift {
  field: string
  declared: Json
  observed: Json
  source: string
}

export interface Observations {
  observations: Observation[]
  drift: Drift[]
  /** All observed tables, with how many rows each has. */
  tables?: Record<string, number>
  next_cursor?: string | null
}

export interface GraphNode extends Head {
  id: string
  depth: number
}

export interface Graph {
  root_id: string
  nodes: GraphNode[]
  /** By id: two records of different classes may have the same key. */
  links: { from_id: string; type: string; to_id: string }[]
  truncated: boolean
}

export interface Hit extends Head {
  snippet: string
}

export interface Session {
  person: { key: string; title: string }
  roles: string[]
  tenant: string
  tenants: string[]
  expires: string
  /** Whether a second factor is enrolled. */
  totp?: boolean
}

export interface Token {
  id: string
  name: string
  created?: string
  expires?: string | null
  last_used?: string | null
}

/** RFC 9457, with the names that Mainstay adds. */
/** What was refused and why; on 412 the record as it is now, and what was sent. A problem of our own has no request. */
export type ProblemBody = Pick<Schemas['Problem'], 'type' | 'title' | 'status'> &
  Partial<Omit<Schemas['Problem'], 'current' | 'yours'>> & { current?: Rec; yours?: { fields?: Fields; owner?: string | null; title?: string } }
