/**
 * One keyboard manager. Single keys and two-key sequences; silent in text fields and under dialogs; single keys can be
 * turned off in the settings (WCAG 2.1.4). The component mounted last is asked first.
 */
import { useEffect, useRef } from 'react'
import { settings } from './settings'

export type Bindings = Record<string, (event: KeyboardEvent) => void>

const SEQUENCE_MS = 900
const stack: { current: Bindings }[] = []
let before = ''
let timer: ReturnType<typeof setTimeout> | undefined

const isTyping = (event: KeyboardEvent): boolean => {
  const el = event.target as HTMLElement
  return el.isContentEditable || (/^(INPUT|TEXTAREA|SELECT)$/.test(el.tagName) && (el as HTMLInputElement).type !== 'checkbox')
}

/** "j", "G", "mod+k", "escape", "space": letters keep their case, the rest is lower case. */
export function nameOf(event: Pick<KeyboardEvent, 'key' | 'ctrlKey' | 'metaKey' | 'altKey'>): string {
  const key = event.key === ' ' ? 'space' : event.key.length === 1 ? event.key : event.key.toLowerCase()
  return (event.ctrlKey || event.metaKey ? 'mod+' : '') + (event.altKey ? 'alt+' : '') + key
}

function onKey(event: KeyboardEvent): void {
  const name = nameOf(event)
  const modified = name.startsWith('mod+') || name.startsWith('alt+')
  if (isTyping(event) && !modified && name !== 'escape') return
  if (!modified && event.key.length === 1 && !settings().keys) return
  if (event.defaultPrevented) return
  if (document.querySelector('[role="dialog"][data-open], [role="menu"][data-open]') && !modified) return
  // A focused button or link keeps Enter and Space for itself.
  if ((name === 'enter' || name === 'space') && (event.target as HTMLElement).closest('button, a, summary, [role=option]')) return
  const sequence = before ? `${before} ${name}` : name
  for (let i = stack.length - 1; i >= 0; i--) {
    const act = stack[i]!.current[sequence] ?? stack[i]!.current[name]
    if (!act) continue
    before = ''
    act(event)
    event.preventDefault()
    return
  }
  clearTimeout(timer)
  before = event.key.length === 1 && !modified ? name : ''
  timer = setTimeout(() => (before = ''), SEQUENCE_MS)
}

window.addEventListener('keydown', onKey)

export function useKeys(bindings: Bindings): void {
  const latest = useRef(bindings)
  useEffect(() => {
    latest.current = bindings
  })
  useEffect(() => {
    stack.push(latest)
    return () => {
      stack.splice(stack.indexOf(latest), 1)
    }
  }, [])
}
