import { createElement } from 'react'
import type { ClassDef } from '../api/types'
import { iconOf } from './verbs'

/** The sign of a class. */
export function ClassIcon({ cls, size = 15, className = 'shrink-0' }: { cls: Pick<ClassDef, 'name' | 'verb'>; size?: number; className?: string }) {
  return createElement(iconOf(cls), { size, className, 'aria-hidden': true })
}
