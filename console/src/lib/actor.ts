/** Who did it, in words: a person by key, a token by the start of its id, somebody on the machine itself by user. Pure. */
import type { Actor } from '../api/types'

const ROOT = '0'

export function actorName(actor: Actor): string {
  switch (actor.kind) {
    case 'local':
      return actor.key === ROOT ? 'root on the server' : `user ${actor.key} on the server`
    case 'token':
      return `token ${actor.key.slice(0, 8)}`
    case 'system':
      return 'Mainstay'
    default:
      return actor.key
  }
}
