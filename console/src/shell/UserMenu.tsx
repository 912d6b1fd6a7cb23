import { Menu } from '@base-ui/react/menu'
import { useNavigate } from '@tanstack/react-router'
import type { ReactNode } from 'react'
import { api } from '../api/http'
import { zone } from '../lib/time'
import { failed } from '../ui/toast'
import { useShell } from './context'

const ITEM = 'flex items-center h-8 px-2.5 rounded outline-none data-[highlighted]:bg-accent-soft max-lg:h-11'

export function UserMenu({ children }: { children: ReactNode }) {
  const { session } = useShell()
  const navigate = useNavigate()

  async function signOut(): Promise<void> {
    try {
      await api<void>('/session', { method: 'DELETE' })
      // The page is loaded anew: nothing of what was read stays for the next person at this screen.
      sessionStorage.clear()
      location.replace('/')
    } catch (error) {
      failed('You are still signed in', error)
    }
  }

  return (
    <Menu.Root>
      <Menu.Trigger className="flex flex-1 min-w-0 items-center gap-2 h-9 rounded hover:bg-hover -ml-1 px-1 max-lg:h-11">{children}</Menu.Trigger>
      <Menu.Portal>
        <Menu.Positioner sideOffset={6} align="start" className="z-50 outline-none">
          <Menu.Popup className="rise popup min-w-[210px] p-1">
            <div className="px-2.5 py-1.5 text-2xs text-fg-3">
              {session.person.key} · {session.roles.join(', ')}
              <br />
              Times in {zone()}
            </div>
            <Menu.Item className={ITEM} onClick={() => void navigate({ to: '/profile' })}>
              Profile and settings
            </Menu.Item>
            <Menu.Item className={ITEM} onClick={() => void signOut()}>
              Sign out
            </Menu.Item>
          </Menu.Popup>
        </Menu.Positioner>
      </Menu.Portal>
    </Menu.Root>
  )
}
