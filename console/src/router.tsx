import type { QueryClient } from '@tanstack/react-query'
import { createRootRouteWithContext, createRoute, createRouter, lazyRouteComponent, Outlet } from '@tanstack/react-router'
import * as read from './api/queries'
import { Gate } from './auth/Gate'
import { Lost } from './shell/Lost'

/** What the address of a list holds. All of it is text, so that addresses can be read and written by hand. */
export interface ListSearch {
  /** Filter. Absent: the class's first view; empty: everything. */
  q?: string
  sort?: string
  cols?: string
  peek?: string
}

export interface RecordSearch {
  tab?: string
}

const text = (v: unknown): string | undefined => (typeof v === 'string' ? v : undefined)

const root = createRootRouteWithContext<{ client: QueryClient }>()({ component: Outlet, notFoundComponent: Lost })

const bootstrap = createRoute({
  getParentRoute: () => root,
  path: '/bootstrap',
  validateSearch: (s: Record<string, unknown>) => ({ token: text(s.token) }),
  component: lazyRouteComponent(() => import('./auth/Bootstrap')),
})

/** Everything below needs a signed-in person. */
const inside = createRoute({ getParentRoute: () => root, id: 'inside', component: Gate })

const now = createRoute({ getParentRoute: () => inside, path: '/', component: lazyRouteComponent(() => import('./now/Now')) })

export const listRoute = createRoute({
  getParentRoute: () => inside,
  path: '/r/$cls',
  validateSearch: (s: Record<string, unknown>): ListSearch => ({ q: text(s.q), sort: text(s.sort), cols: text(s.cols), peek: text(s.peek) }),
  component: lazyRouteComponent(() => import('./list/ListPage')),
})

export const recordRoute = createRoute({
  getParentRoute: () => inside,
  path: '/r/$cls/$key',
  validateSearch: (s: Record<string, unknown>): RecordSearch => ({ tab: text(s.tab) }),
  loader: ({ context, params }) => void context.client.prefetchQuery(read.record(params.cls, params.key)),
  component: lazyRouteComponent(() => import('./record/RecordRoute')),
})

const profile = createRoute({ getParentRoute: () => inside, path: '/profile', component: lazyRouteComponent(() => import('./auth/Profile')) })

const tree = root.addChildren([bootstrap, inside.addChildren([now, listRoute, recordRoute, profile])])

/** Plain `?name=text`; the characters of the filter language stay readable. */
function writeSearch(search: Record<string, unknown>): string {
  const pairs = Object.entries(search).filter((p): p is [string, string] => typeof p[1] === 'string')
  if (!pairs.length) return ''
  const written = new URLSearchParams(pairs).toString()
  return '?' + written.replaceAll('%3A', ':').replaceAll('%2C', ',').replaceAll('%3E', '>').replaceAll('%3C', '<')
}

export const makeRouter = (client: QueryClient) =>
  createRouter({
    routeTree: tree,
    context: { client },
    defaultPreload: 'intent',
    scrollRestoration: true,
    parseSearch: (s) => Object.fromEntries(new URLSearchParams(s)),
    stringifySearch: writeSearch,
  })

declare module '@tanstack/react-router' {
  interface Register {
    router: ReturnType<typeof makeRouter>
  }
}
