// Weighs the build: what every visitor loads first (the shell), and what each page adds. Fails when a budget is passed.
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'

const DIST = join(import.meta.dirname, '../dist')
const SHELL_KB = 190
const PAGE_KB = 25

const kb = (file) => gzipSync(readFileSync(join(DIST, 'assets', file)), { level: 9 }).length / 1024
const scripts = readdirSync(join(DIST, 'assets')).filter((f) => f.endsWith('.js'))
const html = readFileSync(join(DIST, 'index.html'), 'utf8')
// The shell: what the page names, and what those import statically, all the way down.
const shell = new Set()
const walk = (file) => {
  if (shell.has(file)) return
  shell.add(file)
  const text = readFileSync(join(DIST, 'assets', file), 'utf8')
  for (const m of text.matchAll(/(?:from|import)\s*"\.\/([^"]+\.js)"/g)) walk(m[1])
}
for (const m of html.matchAll(/(?:src|href)="\/assets\/([^"]+\.js)"/g)) walk(m[1])

let over = false
const line = (name, size, limit) => {
  const bad = size > limit
  over ||= bad
  console.log(`${bad ? 'OVER ' : '     '}${size.toFixed(1).padStart(7)} KB of ${limit}  ${name}`)
}
line('shell (first load)', [...shell].reduce((sum, f) => sum + kb(f), 0), SHELL_KB)
for (const f of scripts.filter((f) => !shell.has(f))) line(f, kb(f), PAGE_KB)
process.exitCode = over ? 1 : 0
