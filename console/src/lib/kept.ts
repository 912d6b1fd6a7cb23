/** Text that stays while this tab lives, whatever happens to the page: a reload, a step back, a session that ended. */
import { useState } from 'react'

export function useKept(name: string): [string, (text: string) => void] {
  const place = `kept:${name}`
  const [text, setText] = useState(() => sessionStorage.getItem(place) ?? '')
  const keep = (next: string): void => {
    setText(next)
    if (next) sessionStorage.setItem(place, next)
    else sessionStorage.removeItem(place)
  }
  return [text, keep]
}
