import { Dialog } from '@base-ui/react/dialog'
import { Side } from './Side'

/** The left bar on a phone: slides over the page. */
export function Drawer({ open, onClose }: { open: boolean; onClose: () => void }) {
  return (
    <Dialog.Root open={open} onOpenChange={(next) => !next && onClose()}>
      <Dialog.Portal>
        <Dialog.Backdrop className="fixed inset-0 z-40 bg-scrim" />
        <Dialog.Popup className="fixed z-50 inset-y-0 left-0 w-[290px] max-w-[86vw] bg-bg border-r border-line flex flex-col outline-none">
          <Dialog.Title className="sr-only">Navigation</Dialog.Title>
          <Side inDrawer />
        </Dialog.Popup>
      </Dialog.Portal>
    </Dialog.Root>
  )
}
