import { useQuery } from '@tanstack/react-query'
import * as read from '../api/queries'
import type { Rec } from '../api/types'
import { useClasses } from '../shell/context'

/** A short list of a class; empty when there is no such class here. */
export function useRecords(cls: string, filter: string, sort?: string, limit = 50): { rows: Rec[]; total: number; pending: boolean; error: Error | null } {
  const exists = useClasses().has(cls)
  const { data, isPending, error } = useQuery({ ...read.records(cls, { filter, sort, limit }), enabled: exists })
  return { rows: data?.records ?? [], total: data?.total ?? data?.records.length ?? 0, pending: exists && isPending, error }
}
