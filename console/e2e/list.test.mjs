// Lists: filter, views, keys, windowed rows, selection and undo, a new record.
import assert from 'node:assert/strict'
import test, { after, before } from 'node:test'
import { desk as sitDown } from './browser.mjs'

/** @type {Awaited<ReturnType<typeof sitDown>>} */
let desk

before(async () => void (desk = await sitDown()))
after(() => desk?.close())

const grid = () => desk.page.getByRole('grid')
const current = () => grid().getAttribute('aria-activedescendant')
/** @param {string} title */
const incident = async (title) => (await desk.server.api('POST', '/records/incident', { fields: { title } })).key

test('the filter is the address, and back goes back', async () => {
  const { page } = desk
  await page.goto('/r/check?q=state:OK')
  await grid().waitFor()
  const field = page.getByRole('combobox', { name: 'Filter checks' })
  assert.equal(await field.inputValue(), 'state:OK')
  await page.keyboard.press('/')
  await page.keyboard.type(' protocol:http')
  await page.waitForURL(/protocol:http/)
  await page.goBack()
  await page.goForward()
  assert.match(await field.inputValue(), /protocol:http/)
  desk.clean()
})

test('names and values are offered while typing, and Tab takes them', async () => {
  const { page } = desk
  await page.goto('/r/incident?q=')
  await grid().waitFor()
  await page.keyboard.press('/')
  await page.keyboard.type('sta')
  await page.getByRole('option', { name: /^state:/ }).waitFor()
  await page.keyboard.press('Tab')
  await page.keyboard.type('det')
  await page.getByRole('option', { name: /detected/ }).waitFor()
  await page.keyboard.press('Tab')
  await page.waitForURL(/q=state:detected/)
  desk.clean()
})

test('a name that the class does not have is refused with the near one', async () => {
  const { page } = desk
  await page.goto('/r/incident?q=' + encodeURIComponent('ownr:none'))
  const alert = page.getByRole('alert').filter({ hasText: 'ownr' })
  await alert.waitFor()
  await alert.getByRole('button', { name: 'owner' }).click()
  await page.waitForURL(/owner:none/)
  desk.clean()
})

test('j and k move, x selects, Enter opens, Escape comes back', async () => {
  const { page } = desk
  await page.goto('/r/incident?q=')
  await page.locator('[id^=row-]').first().waitFor()
  const first = await current()
  await page.keyboard.press('j')
  assert.notEqual(await current(), first)
  await page.keyboard.press('k')
  assert.equal(await current(), first)
  await page.keyboard.press('G')
  await page.keyboard.press('g')
  await page.keyboard.press('g')
  assert.equal(await current(), first)
  await page.keyboard.press('x')
  await page.getByText('1 selected').waitFor()
  await page.keyboard.press('Escape')
  await page.getByText('1 selected').waitFor({ state: 'hidden' })
  await page.keyboard.press('Enter')
  await page.getByRole('region', { name: 'Timeline' }).waitFor()
  await page.keyboard.press('Escape')
  await grid().waitFor()
  desk.clean()
})

test('the window moves on: rows far below are fetched when they come near', async () => {
  const { page, server } = desk
  const { total } = await server.api('GET', '/records/incident?limit=1&filter=')
  assert.ok(total > 400)
  const last = (await server.api('GET', '/records/incident?limit=1&sort=-key')).records[0].key
  await page.goto('/r/incident?q=&sort=key')
  await page.locator('#row-INC-1').waitFor()
  assert.equal(await page.locator(`#row-${last}`).count(), 0)
  for (let tries = 0; tries < 10 && !(await page.locator(`#row-${last}`).count()); tries++) {
    await page.keyboard.press('G')
    await page.waitForTimeout(300)
  }
  await page.locator(`#row-${last}`).waitFor()
  // However many are loaded, only what is seen is in the page.
  assert.ok((await page.locator('[id^=row-]').count()) < 80)
  desk.clean()
})

test('number keys change the view, Space peeks', async () => {
  const { page } = desk
  const key = await incident('Somebody please look')
  await page.goto('/r/incident')
  await page.locator(`#row-${key}`).waitFor()
  await page.keyboard.press('3')
  await page.waitForURL(/owner:none/)
  await page.locator(`#row-${key}`).waitFor()
  await page.keyboard.press('Space')
  await page.getByRole('complementary', { name: /Peek/ }).waitFor()
  await page.keyboard.press('Escape')
  await page.getByRole('complementary', { name: /Peek/ }).waitFor({ state: 'hidden' })
  desk.clean()
})

test('a filter is saved as a view, which is a tab from then on', async () => {
  const { page, server } = desk
  await page.goto('/r/host?q=environment:production')
  await page.getByRole('button', { name: 'Save this filter as a view' }).click()
  await page.getByRole('dialog').getByRole('textbox', { name: 'Name' }).fill('Production')
  await page.keyboard.press('Enter')
  await page.getByRole('tab', { name: /Production/, selected: true }).waitFor()
  const [view] = await server.list('saved-view', 'lists:host')
  assert.equal(view.fields.query, 'environment:production')
  await page.keyboard.press('1')
  await page.waitForURL((url) => !url.search.includes('environment'))
  await page.reload()
  await page.getByRole('tab', { name: /Production/ }).waitFor()
  desk.clean()
})

test('a selection is moved at once, and undo takes it back', async () => {
  const { page, server } = desk
  const keys = [await incident('Printer jams'), await incident('Printer jams again')]
  await page.goto('/r/incident?q=' + encodeURIComponent('state:detected "printer jams"'))
  for (const key of keys) await page.locator(`#row-${key}`).waitFor()
  await page.keyboard.press('x')
  await page.keyboard.press('x')
  await page.getByRole('button', { name: 'Investigate' }).click()
  for (const key of keys) await page.locator(`#row-${key}`).waitFor({ state: 'detached' })
  await page.getByText('Investigate: 2 incidents').waitFor()
  assert.equal((await server.get('incident', keys[0])).state, 'investigating')
  await page.keyboard.press('u')
  for (const key of keys) await page.locator(`#row-${key}`).waitFor()
  assert.equal((await server.get('incident', keys[0])).state, 'detected')
  desk.clean()
})

test('a record is made with its form, and refusals stand at the field', async () => {
  const { page } = desk
  await page.goto('/r/incident')
  await grid().waitFor()
  await page.keyboard.press('c')
  const dialog = page.getByRole('dialog', { name: 'New incident' })
  await dialog.getByRole('button', { name: /Create incident/ }).click()
  await dialog.getByText('Title is needed').waitFor()
  await dialog.getByRole('textbox', { name: /^Title/ }).fill('A test of the console')
  await page.keyboard.press('Control+Enter')
  await page.getByRole('heading', { name: 'A test of the console' }).waitFor()
  desk.clean()
})

test('what others make appears by itself', async () => {
  const { page } = desk
  await page.goto('/r/incident')
  await page.locator('[id^=row-]').first().waitFor()
  const key = await incident('Made elsewhere')
  await page.locator(`#row-${key}`).waitFor()
  desk.clean()
})

test('a class of one’s own has its list, its form and its page at once', async () => {
  const { page, server } = desk
  await server.api('POST', '/apply', { files: [{ path: 'van.yaml', text: CLASS }] })
  await page.goto('/r/van')
  await page.getByRole('heading', { name: 'Vans' }).waitFor()
  await page.keyboard.press('c')
  const dialog = page.getByRole('dialog', { name: 'New van' })
  await dialog.getByLabel('Plate').fill('AB12 CDE')
  await page.keyboard.press('Control+Enter')
  await page.getByRole('heading', { name: /VAN-1|AB12/ }).waitFor()
  await page.getByRole('button', { name: 'More', exact: true }).last().click()
  await page.getByRole('menuitem', { name: 'Sell' }).click()
  await page.getByText('Sold', { exact: true }).first().waitFor()
  desk.clean()
})

const CLASS = `
kind: class
metadata: { name: van }
spec:
  title: Van
  plural: Vans
  help: A van of the delivery fleet.
  verb: know
  prefix: VAN-
  fields:
    plate: { type: text, required: true, help: Number plate, pattern: "[A-Z0-9 ]{2,10}" }
  states:
    - { name: in-use, open: true }
    - { name: sold, open: false }
  transitions:
    sell: { from: [in-use], to: sold, help: It is no longer ours. }
  columns: [key, plate, state]
`
