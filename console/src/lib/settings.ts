/** What a person has set for this browser: theme, time zone, density, single keys. Kept locally; nothing else is. */
import { useSyncExternalStore } from 'react'

export interface Settings {
  theme: 'system' | 'light' | 'dark'
  /** IANA name; empty: the browser's own. */
  zone: string
  density: 'compact' | 'comfortable'
  /** Single-key shortcuts (WCAG 2.1.4 wants a way to turn them off). */
  keys: boolean
}

const KEY = 'mainstay.settings'
const DEFAULTS: Settings = { theme: 'system', zone: '', density: 'compact', keys: true }
const watchers = new Set<() => void>()
let current = read()

function read(): Settings {
  try {
    return { ...DEFAULTS, ...(JSON.parse(localStorage.getItem(KEY) ?? '{}') as Partial<Settings>) }
  } catch {
    return DEFAULTS
  }
}

export const settings = (): Settings => current

export function set(change: Partial<Settings>): void {
  current = { ...current, ...change }
  localStorage.setItem(KEY, JSON.stringify(current))
  applyTheme()
  for (const tell of watchers) tell()
}

export function applyTheme(): void {
  const root = document.documentElement
  if (current.theme === 'system') delete root.dataset.theme
  else root.dataset.theme = current.theme
}

export const isDark = (): boolean =>
  current.theme === 'system' ? matchMedia('(prefers-color-scheme: dark)').matches : current.theme === 'dark'

/** Ctrl . goes round: what is not shown now, then back to the system's. */
export function nextTheme(): void {
  const order = ['system', 'light', 'dark'] as const
  set({ theme: order[(order.indexOf(current.theme) + 1) % order.length] })
}

function watch(tell: () => void): () => void {
  watchers.add(tell)
  return () => watchers.delete(tell)
}

export const useSettings = (): Settings => useSyncExternalStore(watch, settings)
