/** What every page may ask of the shell: who is signed in, the classes, and the palette. */
import { useSuspenseQuery } from '@tanstack/react-query'
import { createContext, useContext, useMemo } from 'react'
import * as read from '../api/queries'
import type { ClassDef, Session } from '../api/types'

export interface Shelled {
  session: Session
  openPalette: (text?: string) => void
  openHelp: () => void
}

const Context = createContext<Shelled | null>(null)
export const ShellProvider = Context.Provider

export function useShell(): Shelled {
  const value = useContext(Context)
  if (!value) throw new Error('only pages inside the shell can ask for it')
  return value
}

export const useMe = (): string => useShell().session.person.key

/** All classes by name. The shell has loaded them before any page is shown. */
export function useClasses(): Map<string, ClassDef> {
  const { data } = useSuspenseQuery(read.classes)
  return useMemo(() => new Map(data.map((c) => [c.name, c])), [data])
}

export const useClass = (name: string): ClassDef | undefined => useClasses().get(name)
