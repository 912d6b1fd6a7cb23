import { CSPProvider } from '@base-ui/react/csp-provider'
import { QueryClient, QueryClientProvider } from '@tanstack/react-query'
import { RouterProvider } from '@tanstack/react-router'
import { StrictMode } from 'react'
import { createRoot } from 'react-dom/client'
import './app.css'
import { Problem } from './api/http'
import { applyTheme } from './lib/settings'
import { makeRouter } from './router'
import { Toasts } from './ui/toast'

applyTheme()

// The one-time link may stand behind a #, so that its token never reaches a server's log.
if (location.hash.startsWith('#/bootstrap')) history.replaceState(null, '', location.hash.slice(1))

const client = new QueryClient({
  defaultOptions: {
    queries: {
      staleTime: 15_000,
      refetchOnWindowFocus: false, // The event stream keeps the cache fresh.
      retry: (failures, error) => failures < 2 && error instanceof Problem && (error.status === 0 || error.status >= 500),
    },
  },
})
const router = makeRouter(client)

createRoot(document.getElementById('root')!).render(
  <StrictMode>
    <CSPProvider disableStyleElements>
      <QueryClientProvider client={client}>
        <Toasts>
          <RouterProvider router={router} />
        </Toasts>
      </QueryClientProvider>
    </CSPProvider>
  </StrictMode>,
)
