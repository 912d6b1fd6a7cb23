// Writes src/api/schema.d.ts from the server's own description: `npm run generate -- openapi.json [output]` (it is served at
// /api/v1/openapi.json). Only the shapes that all records share: a class describes its fields itself, while the console runs.
// Needs `npm ci` in tools/.
import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const here = import.meta.dirname
const [source, output = join(here, '../src/api/schema.d.ts')] = process.argv.slice(2)
if (!source || !existsSync(source)) {
  console.error('usage: npm run generate -- path/to/openapi.json [output]')
  process.exit(2)
}
const program = join(here, 'node_modules/.bin/openapi-typescript')
if (!existsSync(program)) {
  console.error('openapi-typescript is not installed: run `npm ci` in console/tools first')
  process.exit(1)
}
const { openapi, info, components } = JSON.parse(readFileSync(source, 'utf8'))
const schemas = Object.fromEntries(Object.entries(components.schemas).filter(([name]) => !name.startsWith('fields.')))
const folder = mkdtempSync(join(tmpdir(), 'mainstay-schema-'))
const lean = join(folder, 'openapi.json')
writeFileSync(lean, JSON.stringify({ openapi, info: { title: info.title, version: '1' }, paths: {}, components: { schemas } }))
const { status } = spawnSync(program, [lean, '-o', output], { stdio: ['ignore', 'ignore', 'inherit'] })
rmSync(folder, { recursive: true })
process.exit(status ?? 1)
