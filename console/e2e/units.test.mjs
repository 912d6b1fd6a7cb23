// The console's decisions without a browser: filter text, stages, the first line of Now, the picture's layout.
import assert from 'node:assert/strict'
import test, { after, before } from 'node:test'
import { createServer } from 'vite'

/** @type {import('vite').ViteDevServer} */
let vite
/** @type {typeof import('../src/lib/filter.ts')} */
let filter
/** @type {typeof import('../src/incident/spent.ts')} */
let spent
/** @type {typeof import('../src/now/answer.ts')} */
let answer
/** @type {typeof import('../src/record/layout.ts')} */
let layout
/** @type {typeof import('../src/chart/series.ts')} */
let series
/** @type {typeof import('../src/form/draft.ts')} */
let draft
/** @type {typeof import('../src/lib/values.ts')} */
let values

before(async () => {
  globalThis.localStorage ??= /** @type {any} */ ({ getItem: () => null, setItem: () => {} })
  vite = await createServer({ server: { middlewareMode: true, hmr: false, ws: false }, appType: 'custom', logLevel: 'error', optimizeDeps: { noDiscovery: true } })
  const load = (/** @type {string} */ path) => vite.ssrLoadModule(path)
  filter = /** @type {any} */ (await load('/src/lib/filter.ts'))
  spent = /** @type {any} */ (await load('/src/incident/spent.ts'))
  answer = /** @type {any} */ (await load('/src/now/answer.ts'))
  layout = /** @type {any} */ (await load('/src/record/layout.ts'))
  series = /** @type {any} */ (await load('/src/chart/series.ts'))
  draft = /** @type {any} */ (await load('/src/form/draft.ts'))
  values = /** @type {any} */ (await load('/src/lib/values.ts'))
})
after(() => vite.close())

/** @param {object} [more] */
const cls = (more) =>
  /** @type {any} */ ({
    name: 'incident', title: 'Incident', plural: 'Incidents', links: [], columns: [], sort: [],
    fields: [{ name: 'impact', title: 'Impact', help: '', type: 'enum', values: ['high', 'low'] }],
    states: ['detected', 'contained', 'resolved'].map((name, i) => ({ name, open: i < 2, initial: i === 0, help: '' })),
    ...more,
  })

test('the example of the contract is read', () => {
  const terms = filter.parse('state:open priority:1,2 service:"Payments API" owner:none updated:>-7d -tenant:internal affects.site:LON checkout slow')
  assert.deepEqual(terms.map((t) => t.name), ['state', 'priority', 'service', 'owner', 'updated', 'tenant', 'affects.site', undefined, undefined])
  assert.deepEqual(terms[1]?.values, ['1', '2'])
  assert.deepEqual(terms[2]?.values, ['Payments API'])
  assert.equal(terms[4]?.compare, '>')
  assert.equal(terms[5]?.negated, true)
})

test('no text makes the reader fail, and every term has its place', () => {
  const pieces = ['state:', 'a', ',', '"', '\\', '-', ':', ' ', '>', 'x:y', '"a b"', '.', 'é', '--', ':,', 'owner:none']
  let seed = 7
  const next = () => (seed = (seed * 1103515245 + 12345) % 2 ** 31)
  for (let i = 0; i < 2000; i++) {
    const text = Array.from({ length: next() % 9 }, () => pieces[next() % pieces.length]).join('')
    const terms = filter.parse(text)
    terms.forEach((t, n) => assert.ok(t.end > t.start && t.start >= (terms[n - 1]?.end ?? 0) && t.end <= text.length, text))
  }
})

test('a facet ticks its own value and leaves the rest as it was written', () => {
  const table = [
    // before,                          after,                        why
    ['', 'state:detected', 'the first tick writes the term'],
    ['disk', 'disk state:detected', 'words stay'],
    ['state:contained', 'state:contained,detected', 'a second value joins the first'],
    ['state:detected', '', 'the last value takes the term with it'],
    ['state:contained,detected slow', 'state:contained slow', 'only its own value goes'],
    ['-state:detected', '-state:detected state:detected', 'a negated term is somebody else’s wish'],
  ]
  for (const [text = '', after, why] of table) assert.equal(filter.toggle(text, 'state', 'detected'), after, why)
})

test('names come first, then values, where the caret stands', () => {
  const names = filter.suggest('im', 2, cls())
  assert.equal(names[0]?.text, 'impact:')
  const found = filter.suggest('slow impact:hi more', 14, cls())
  assert.equal(found[0]?.text, 'slow impact:high more')
  assert.equal(found[0]?.caret, 16)
  assert.ok(filter.suggest('state:', 6, cls()).some((s) => s.label === 'open'))
})

test('a slip is told with the near name; a link of another class is left to the server', () => {
  assert.deepEqual(filter.mistake('impct:high', cls())?.near, ['impact'])
  assert.equal(filter.mistake('affects.site:LON zzzzzzzz:1', cls()), null)
  assert.equal(filter.unfinished('disk state:'), true)
  assert.equal(filter.unfinished('disk state:open'), false)
})

test('stays in a stage add up, also after a relapse', () => {
  const minute = 60_000
  const entry = (/** @type {number} */ seq, /** @type {string} */ state) => /** @type {any} */ ({ seq, subject: 'INC-1', time: new Date(seq * minute).toISOString(), after: { state }, before: {} })
  const record = /** @type {any} */ ({ key: 'INC-1', state: 'contained', created: new Date(0).toISOString() })
  const list = spent.stages(cls(), record, [entry(0, 'detected'), entry(3, 'contained'), entry(5, 'resolved'), entry(8, 'detected'), entry(9, 'contained')], 12 * minute)
  assert.deepEqual(list.map((s) => [s.name, (s.spent ?? 0) / minute, s.current]), [['detected', 4, false], ['contained', 5, true], ['resolved', 3, false]])
})

test('the first line names the worst and counts those that nobody has', () => {
  const incident = (/** @type {string} */ title, /** @type {number} */ priority, /** @type {string | null} */ owner) => /** @type {any} */ ({ key: title, title, owner, created: '2026-01-01T00:00:00Z', fields: { priority } })
  const table = [
    [[], 0, 0, 'All is well, and everything is measured.'],
    [[], 0, 2, 'Nothing is known to be wrong. 2 checks could not measure.'],
    [[], 1, 0, 'No incident is open, but 1 system is not well.'],
    [[incident('Shop is down', 1, null)], 0, 0, 'Shop is down, and nobody has it.'],
    [[incident('Shop is down.', 1, 'mei'), incident('Disk', 3, null)], 0, 0, 'Shop is down. 1 other incident has nobody on it.'],
    [[incident('Disk', 3, 'jon'), incident('Shop is down', 1, 'mei')], 0, 0, 'Shop is down. Every open incident has somebody on it.'],
  ]
  for (const [incidents, notWell, unknownChecks, said] of table) assert.equal(answer.headline(/** @type {any} */ ({ incidents, notWell, unknownChecks, me: 'ana' })), said)
})

test('no two nodes of a picture lie on each other, and none is wider than it', () => {
  const nodes = Array.from({ length: 30 }, (_, i) => ({ id: `id${i}`, class: 'host', key: `h${i}`, title: 'host '.repeat((i % 5) + 1), state: 'active', health: null, depth: i ? 1 : 0 }))
  const links = nodes.slice(1).map((n, i) => (i % 2 ? { from_id: 'id0', type: 'depends-on', to_id: n.id } : { from_id: n.id, type: 'depends-on', to_id: 'id0' }))
  const placed = layout.place({ root_id: 'id0', nodes, links, truncated: false }).nodes
  assert.equal(placed.length, 30)
  for (const a of placed) {
    assert.ok(a.x >= 0 && a.x + a.width <= layout.ROW_WIDTH + 0.01, a.key)
    for (const b of placed) assert.ok(a === b || a.y !== b.y || a.x + a.width <= b.x || b.x + b.width <= a.x, `${a.key} on ${b.key}`)
  }
})

test('a form sends what differs, and null for what was taken away', () => {
  assert.deepEqual(draft.changes({ a: 1, b: 'x', c: ['y'], d: null }, { a: 1, b: '', c: ['y', 'z'], d: '', e: false }), { b: null, c: ['y', 'z'], e: false })
})

test('sizes are read as they are written', () => {
  const table = [['16 GiB', 16 * 2 ** 30], ['512m', 512 * 2 ** 20], ['1.5 TiB', 1.5 * 2 ** 40], ['1048576', 1048576], ['much', null], ['', null]]
  for (const [text, bytes] of table) assert.equal(values.readBytes(String(text)), bytes, String(text))
  assert.equal(values.bytes(16 * 2 ** 30), '16 GiB')
})

test('series of a metric share a chart, named by what differs, with values in their unit', () => {
  /** @param {string} name @param {Record<string, string>} labels */
  const one = (name, labels) => ({ labels: { __name__: name, on: 'vm', ...labels }, points: /** @type {[number, number][]} */ ([[1000, 1], [2000, 3]]) })
  const charts = series.chartsOf([one('check_state', {}), one('check_duration_seconds', { check: 'a' }), one('disk_used_percent', { check: 'd', mount: '/' }), one('disk_used_percent', { check: 'd', mount: '/var' })])
  assert.deepEqual(charts.map((c) => [c.title, c.unit, c.lines.map((l) => l.name)]), [['Disk used', 'percent', ['/', '/var']], ['Check duration', 'seconds', ['Check duration']]])
  const table = /** @type {const} */ ([[0.0000021, 'seconds', '2.1 µs'], [0.25, 'seconds', '250 ms'], [61, 'seconds', '61 s'], [64.51, 'percent', '64.5 %'], [3 * 2 ** 30, 'bytes', '3 GiB'], [12345.6, 'number', '12,346'], [0, 'seconds', '0 s']])
  for (const [value, unit, said] of table) assert.equal(series.told(value, unit), said)
  const [times, a, b] = series.aligned([{ name: 'a', points: [[1000, 1], [3000, 2]] }, { name: 'b', points: [[2000, 5]] }])
  assert.deepEqual([times, a, b], [[1, 2, 3], [1, null, 2], [null, 5, null]])
})
