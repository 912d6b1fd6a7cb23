import { Dialog } from '@base-ui/react/dialog'
import { X } from 'lucide-react'
import { useRef, type ReactNode } from 'react'
import { IconButton } from './atoms'

/** A dialog in the middle of the window; from the bottom edge on a phone. Esc and the scrim close it. */
export function Modal({ open, onClose, title, children, width = 560, bare = false }: { open: boolean; onClose: () => void; title: string; children: ReactNode; width?: number; bare?: boolean }) {
  const popup = useRef<HTMLDivElement>(null)
  return (
    <Dialog.Root open={open} onOpenChange={(next) => !next && onClose()}>
      <Dialog.Portal>
        <Dialog.Backdrop className="fixed inset-0 z-40 bg-scrim" />
        <Dialog.Popup
          ref={popup}
          // What is typed first has the focus, not the button that closes.
          initialFocus={() => popup.current?.querySelector<HTMLElement>('input:not([type=checkbox]), textarea, select') ?? true}
          className="rise popup fixed z-50 left-1/2 top-[10vh] -translate-x-1/2 max-h-[82vh] flex flex-col overflow-hidden max-md:top-auto max-md:bottom-0 max-md:max-h-[90vh] max-md:rounded-b-none"
          style={{ width: `min(${width}px, calc(100vw - 24px))` }}
        >
          {bare ? (
            <Dialog.Title className="sr-only">{title}</Dialog.Title>
          ) : (
            <header className="flex items-center gap-2 h-12 pl-4 pr-2 border-b border-line shrink-0">
              <Dialog.Title className="text-md font-semibold truncate flex-1">{title}</Dialog.Title>
              <Dialog.Close
                render={
                  <IconButton label="Close (Esc)">
                    <X size={16} />
                  </IconButton>
                }
              />
            </header>
          )}
          {children}
        </Dialog.Popup>
      </Dialog.Portal>
    </Dialog.Root>
  )
}
