/**
 * One event stream for the whole tab. Entries are gathered and handed on once a second, so that a storm of changes costs
 * one repaint a second. When the stream breaks it is resumed after the last entry seen; the shell shows the state.
 */
import { useEffect, useSyncExternalStore } from 'react'
import { API, query } from './http'
import type { Entry } from './types'

export type Connection = 'connecting' | 'live' | 'reconnecting' | 'offline'
type Batch = (entries: Entry[]) => void

const BATCH_MS = 1000
const listeners = new Set<Batch>()
const watchers = new Set<() => void>()
let state: Connection = 'connecting'
let lostAt: number | null = null
let source: EventSource | null = null
let lastSeq: number | null = null
let waiting: Entry[] = []
let timer: ReturnType<typeof setTimeout> | undefined

function become(next: Connection): void {
  if (next === state) return
  if (next === 'live') lostAt = null
  else lostAt ??= state === 'live' ? Date.now() : null
  state = next
  for (const tell of watchers) tell()
}

function hand(): void {
  timer = undefined
  const batch = waiting
  waiting = []
  for (const listen of listeners) listen(batch)
}

function open(): void {
  source = new EventSource(API + '/stream' + query({ since: lastSeq }))
  source.onopen = () => become('live')
  source.onerror = () => {
    become(navigator.onLine ? 'reconnecting' : 'offline')
    // A browser gives up for good after some answers (for example 502 while the server restarts): start again.
    if (source?.readyState === EventSource.CLOSED) setTimeout(() => source && open(), 3000)
  }
  source.addEventListener('entry', (event) => {
    const entry = JSON.parse((event as MessageEvent<string>).data) as Entry
    if (lastSeq !== null && entry.seq <= lastSeq) return
    lastSeq = entry.seq
    waiting.push(entry)
    timer ??= setTimeout(hand, BATCH_MS)
  })
}

/** Opens the stream; returns how to close it. */
export function connect(): () => void {
  if (!source) open()
  const gone = () => become('offline')
  window.addEventListener('offline', gone)
  return () => {
    window.removeEventListener('offline', gone)
    source?.close()
    source = null
  }
}

export function useEntries(listen: Batch): void {
  useEffect(() => {
    listeners.add(listen)
    return () => {
      listeners.delete(listen)
    }
  }, [listen])
}

function watch(tell: () => void): () => void {
  watchers.add(tell)
  return () => watchers.delete(tell)
}

export const useConnection = (): Connection => useSyncExternalStore(watch, () => state)
/** When the stream was lost, in Unix milliseconds; null while it is live. */
export const useLostAt = (): number | null => useSyncExternalStore(watch, () => lostAt)
