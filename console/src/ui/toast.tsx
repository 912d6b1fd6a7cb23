/** Short messages at the foot of the window. An act that can be taken back offers Undo for 8 seconds (and the key u). */
import { Toast } from '@base-ui/react/toast'
import { X } from 'lucide-react'
import type { ReactNode } from 'react'
import { Problem } from '../api/http'
import { useKeys } from '../lib/keys'
import { IconButton, Kbd } from './atoms'

const UNDO_MS = 8000
const manager = Toast.createToastManager<{ undo?: () => void; tone?: 'bad' }>()
let lastUndo: (() => void) | undefined

/** Says what was done; with `undo`, offers to take it back. */
export function did(text: string, undo?: () => void | Promise<void>): void {
  const id: string = manager.add({
    title: text,
    timeout: undo ? UNDO_MS : 4000,
    data: undo ? { undo: () => takeBack(id, undo) } : {},
    onClose: () => {
      if (lastUndo && undo) lastUndo = undefined
    },
  })
  if (undo) lastUndo = () => takeBack(id, undo)
}

/** Says that something was refused or failed, and why. */
export function failed(what: string, error: unknown): void {
  const detail = error instanceof Problem ? error.message : error instanceof Error ? error.message : String(error)
  manager.add({ title: what, description: detail, timeout: 9000, priority: 'high', data: { tone: 'bad' } })
}

async function takeBack(id: string, undo: () => void | Promise<void>): Promise<void> {
  lastUndo = undefined
  manager.close(id)
  try {
    await undo()
    did('Taken back')
  } catch (error) {
    failed('It could not be taken back', error)
  }
}

export function Toasts({ children }: { children: ReactNode }) {
  return (
    <Toast.Provider toastManager={manager} limit={3}>
      {children}
      <Toast.Portal>
        <Toast.Viewport className="fixed z-50 bottom-4 left-1/2 -translate-x-1/2 w-[min(440px,calc(100vw-24px))] flex flex-col gap-2 max-lg:bottom-20">
          <ToastList />
        </Toast.Viewport>
      </Toast.Portal>
      <UndoKey />
    </Toast.Provider>
  )
}

function UndoKey() {
  useKeys({ u: () => lastUndo?.() })
  return null
}

function ToastList() {
  const { toasts } = Toast.useToastManager<{ undo?: () => void; tone?: 'bad' }>()
  return toasts.map((toast) => (
    <Toast.Root key={toast.id} toast={toast} className={`rise popup flex items-center gap-3 px-3.5 py-2 ${toast.data?.tone === 'bad' ? 'border-crit' : ''}`}>
      <div className="min-w-0 flex-1">
        <Toast.Title className="font-medium" render={<p />} />
        <Toast.Description className="text-fg-2" />
      </div>
      {toast.data?.undo && (
        <button type="button" className="btn" onClick={toast.data.undo}>
          Undo <Kbd>u</Kbd>
        </button>
      )}
      <Toast.Close
        render={
          <IconButton label="Dismiss">
            <X size={14} />
          </IconButton>
        }
      />
    </Toast.Root>
  ))
}
