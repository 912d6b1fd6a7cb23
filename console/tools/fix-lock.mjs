// Run after each `npm install`: adds to package-lock.json the optional platform packages that a partial registry leaves
// out, so that `npm ci` takes the lock everywhere. Refuses to leave an address of a registry in it.
import { readFileSync, writeFileSync } from 'node:fs'

const FILE = new URL('../package-lock.json', import.meta.url)
const lock = JSON.parse(readFileSync(FILE, 'utf8'))
const SYSTEMS = /(android|darwin|freebsd|linux|win32|openharmony|sunos|netbsd|openbsd|aix)/
const PROCESSORS = [['arm64', /arm64|aarch64/], ['x64', /x64/], ['ia32', /ia32/], ['arm', /arm/], ['riscv64', /riscv64/], ['s390x', /s390x/], ['ppc64', /ppc64/], ['wasm32', /wasm32/]]
let added = 0

for (const [path, entry] of Object.entries(lock.packages)) {
  delete entry.resolved
  for (const [name, range] of Object.entries(entry.optionalDependencies ?? {})) {
    const at = `node_modules/${name}`
    if (lock.packages[at] || lock.packages[`${path}/${at}`]) continue
    const os = SYSTEMS.exec(name)
    const cpu = PROCESSORS.find(([, pattern]) => pattern.test(name))
    lock.packages[at] = {
      version: range.replace(/^[\^~]/, ''),
      ...(cpu ? { cpu: [cpu[0]] } : {}),
      dev: true,
      ...(name.includes('musl') ? { libc: ['musl'] } : {}),
      optional: true,
      ...(os ? { os: [os[1]] } : {}),
    }
    added++
  }
}
lock.packages = Object.fromEntries(Object.entries(lock.packages).toSorted(([a], [b]) => (a < b ? -1 : 1)))
writeFileSync(FILE, JSON.stringify(lock, null, 2) + '\n')
console.log(`package-lock.json: ${added} optional packages added`)
