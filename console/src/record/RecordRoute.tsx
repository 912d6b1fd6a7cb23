import { useQuery } from '@tanstack/react-query'
import { lazy, Suspense } from 'react'
import * as read from '../api/queries'
import { recordRoute } from '../router'
import { useClasses } from '../shell/context'
import { Empty, Failed, Skeleton } from '../ui/states'
import RecordPage from './RecordPage'

const IncidentPage = lazy(() => import('../incident/IncidentPage'))

/** The page of one record. Incidents have a room of their own; every other class shares one. */
export default function RecordRoute() {
  const { cls: name, key } = recordRoute.useParams()
  const cls = useClasses().get(name)
  const { data: record, error, refetch } = useQuery(read.record(name, key))
  if (!cls) return <Empty page title={`There is no class “${name}”`} text="Press Ctrl K to look for another." />
  if (error && !record) return <Failed page error={error} what={key} retry={() => void refetch()} />
  if (!record) return <Skeleton rows={10} label={`Loading ${key}`} />
  if (name !== 'incident') return <RecordPage key={key} cls={cls} record={record} />
  return (
    <Suspense fallback={<Skeleton rows={10} label={`Loading ${key}`} />}>
      <IncidentPage key={key} cls={cls} record={record} />
    </Suspense>
  )
}
