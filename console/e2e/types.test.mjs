// The console's types are the server's: generated anew from what this very server says of itself, they are the committed ones.
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'node:test'
import { Mainstay } from './mainstay.mjs'

test('src/api/schema.d.ts is what the server’s OpenAPI document says', async () => {
  const server = await Mainstay.start()
  const folder = mkdtempSync(join(tmpdir(), 'mainstay-types-'))
  try {
    const [said, made] = [join(folder, 'openapi.json'), join(folder, 'schema.d.ts')]
    writeFileSync(said, JSON.stringify(await server.api('GET', '/openapi.json')))
    const here = import.meta.dirname ?? '.'
    const ran = spawnSync(process.execPath, [join(here, '../tools/generate.mjs'), said, made], { encoding: 'utf8' })
    assert.equal(ran.status, 0, ran.stderr)
    assert.equal(readFileSync(join(here, '../src/api/schema.d.ts'), 'utf8'), readFileSync(made, 'utf8'), 'run `npm run generate` with the document of the server')
  } finally {
    rmSync(folder, { recursive: true })
    await server.close()
  }
})
