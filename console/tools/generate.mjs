// Writes src/api/schema.d.ts from an OpenAPI document: `npm run generate -- path/to/openapi.json`. Needs `npm ci` in tools/.
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join, resolve } from 'node:path'

const here = import.meta.dirname
const source = process.argv[2]
if (!source || !existsSync(source)) {
  console.error('usage: npm run generate -- path/to/openapi.json (served at /api/v1/openapi.json)')
  process.exit(2)
}
const program = join(here, 'node_modules/.bin/openapi-typescript')
if (!existsSync(program)) {
  console.error('openapi-typescript is not installed: run `npm ci` in console/tools first')
  process.exit(1)
}
const { status } = spawnSync(program, [resolve(source), '-o', join(here, '../src/api/schema.d.ts')], { stdio: 'inherit' })
process.exit(status ?? 1)
