/**
 * The one place that talks HTTP. Every answer that is not a success becomes a `Problem` with words a person can use;
 * nothing here retries or caches (queries.ts does).
 */
import type { ProblemBody } from './types'

export const API = '/api/v1'

export class Problem extends Error {
  readonly body: ProblemBody
  /** Seconds after which the server would like to be asked again, when it says so. */
  readonly retryAfter: number | undefined

  constructor(body: ProblemBody, retryAfter?: number) {
    super(body.detail || body.title)
    this.name = 'Problem'
    this.body = body
    this.retryAfter = retryAfter
  }

  get status(): number {
    return this.body.status
  }

  /** Messages by the field they belong to; `fields.` in front of a name is dropped. */
  byField(): Record<string, string> {
    const out: Record<string, string> = {}
    for (const e of this.body.errors ?? []) out[e.field.replace(/^\/?fields[./]/, '')] ??= e.message
    return out
  }

  /** The last part of the type: "second-factor", "stale", … */
  get kind(): string {
    return this.body.type.split('/').pop() ?? ''
  }
}

export interface Ask {
  method?: string
  body?: unknown
  ifMatch?: number
  signal?: AbortSignal
  idempotencyKey?: string
}

type Listener = () => void
const unauthorized = new Set<Listener>()
/** Told when the server says that nobody is signed in (any more). */
export function onSignedOut(listener: Listener): () => void {
  unauthorized.add(listener)
  return () => unauthorized.delete(listener)
}

export async function api<T>(path: string, ask: Ask = {}): Promise<T> {
  const headers: Record<string, string> = { accept: 'application/json, application/problem+json' }
  if (ask.body !== undefined) headers['content-type'] = 'application/json'
  if (ask.ifMatch !== undefined) headers['if-match'] = `"${ask.ifMatch}"`
  if (ask.idempotencyKey) headers['idempotency-key'] = ask.idempotencyKey
  let response: Response
  try {
    response = await fetch(API + path, {
      method: ask.method ?? (ask.body === undefined ? 'GET' : 'POST'),
      headers,
      body: ask.body === undefined ? undefined : JSON.stringify(ask.body),
      signal: ask.signal,
      credentials: 'same-origin',
    })
  } catch (cause) {
    if (ask.signal?.aborted) throw cause
    throw new Problem({ type: 'about:blank/unreachable', title: 'Mainstay does not answer', status: 0, detail: 'Mainstay does not answer. It may be restarting; what you see is from before.' })
  }
  if (response.ok) return (response.status === 204 ? undefined : await response.json()) as T
  const wait = Number(response.headers.get('retry-after') ?? NaN)
  const problem = new Problem(await problemOf(response), Number.isFinite(wait) ? wait : undefined)
  // Only a session that has ended: a wrong password at the sign-in form is not one.
  if (response.status === 401 && !path.startsWith('/session') && !path.startsWith('/bootstrap')) for (const tell of unauthorized) tell()
  throw problem
}

async function problemOf(response: Response): Promise<ProblemBody> {
  const fallback = { type: 'about:blank', title: response.statusText || `HTTP ${response.status}`, status: response.status }
  if (!/json/.test(response.headers.get('content-type') ?? '')) return fallback
  try {
    return { ...fallback, ...((await response.json()) as ProblemBody) }
  } catch {
    return fallback
  }
}

/** Builds a query string; empty and undefined values are left out. */
export function query(values: Record<string, string | number | boolean | undefined | null>): string {
  const pairs = Object.entries(values).filter(([, v]) => v !== undefined && v !== null && v !== '')
  return pairs.length ? '?' + new URLSearchParams(pairs.map(([k, v]) => [k, String(v)])).toString() : ''
}

export const at = (cls: string, key?: string): string => `/records/${encodeURIComponent(cls)}${key === undefined ? '' : '/' + encodeURIComponent(key)}`
