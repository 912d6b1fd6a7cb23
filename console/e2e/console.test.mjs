// The console as a person uses it, in Debian's chromium: against the fixture, or with MAINSTAY_URL against a real server.
// Whatever is tested, nothing may appear on the console, and no other host may be asked.
import assert from 'node:assert/strict'
import test, { after, before } from 'node:test'
import { launch, NAME, open, PASSWORD, REAL, server, signIn } from './browser.mjs'

/** @type {import('playwright-core').Browser} */
let browser
/** @type {import('./browser.mjs').Server} */
let target
/** @type {Awaited<ReturnType<typeof open>>} */
let desk

before(async () => {
  target = await server()
  browser = await launch()
  desk = await open(browser, target.url)
})
after(async () => {
  await browser.close()
  await target.close()
})

const grid = () => desk.page.getByRole('grid')
const current = () => grid().getAttribute('aria-activedescendant')
const fixtureOnly = { skip: REAL ? 'needs the records of the fixture' : false }

test('the one-time link makes the first administrator and is spent', async () => {
  await signIn(desk.page, target.token)
  assert.equal(new URL(desk.page.url()).search, '')
  const { page, context } = await open(browser, target.url)
  await page.goto('/')
  await page.getByRole('heading', { name: 'Sign in' }).waitFor()
  await context.close()
  desk.clean()
})

test('a wrong password is refused in words, the right one opens', async () => {
  const { page, context, clean } = await open(browser, target.url)
  await page.goto('/')
  await page.getByLabel('Name').fill(NAME)
  await page.getByLabel('Password').fill('not this one')
  await page.getByRole('button', { name: 'Sign in' }).click()
  await page.getByRole('alert').waitFor()
  await page.getByLabel('Password').fill(PASSWORD)
  await page.getByRole('button', { name: 'Sign in' }).click()
  await page.getByRole('heading', { name: 'Now', exact: true }).waitFor()
  clean()
  await context.close()
})

test('Now answers in its first line and says what is unknown', async () => {
  const { page } = desk
  await page.goto('/')
  await page.getByRole('heading', { name: 'Needs a person' }).waitFor()
  await page.getByRole('heading', { name: 'What runs here' }).waitFor()
  await page.getByRole('heading', { name: 'Not known' }).waitFor()
  if (!REAL) {
    await page.getByText('Web shop answers with errors. 2 other incidents have nobody on them.').waitFor()
    // Those that nobody has stand first.
    const first = page.locator('section', { has: page.getByRole('heading', { name: 'Needs a person' }) }).getByRole('listitem').first()
    assert.match(await first.innerText(), /nobody/)
  }
  desk.clean()
})

test('without a channel Now says that nobody will be paged', fixtureOnly, async () => {
  const { page } = desk
  const store = target.store
  assert.ok(store)
  const channel = store.get('channel', 'mail')
  store.records.delete('mail')
  await page.goto('/')
  await page.getByRole('alert').getByText('Nobody will be paged.').waitFor()
  store.records.set('mail', channel)
  desk.clean()
})

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

test('j and k move, x selects, Enter opens, Escape comes back', fixtureOnly, async () => {
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

test('the window moves on: rows far below are fetched when they come near', fixtureOnly, async () => {
  const { page } = desk
  await page.goto('/r/incident?q=&sort=key')
  await page.locator('#row-INC-1').waitFor()
  assert.equal(await page.locator('#row-INC-300').count(), 0)
  for (let i = 0; i < 3; i++) {
    await page.keyboard.press('G')
    await page.waitForTimeout(400)
  }
  await page.locator('#row-INC-463').waitFor()
  // However many are loaded, only what is seen is in the page.
  assert.ok((await page.locator('[id^=row-]').count()) < 80)
  desk.clean()
})

test('number keys change the view, Space peeks', fixtureOnly, async () => {
  const { page } = desk
  await page.goto('/r/incident')
  await page.locator('#row-INC-461').waitFor()
  await page.keyboard.press('3')
  await page.waitForURL(/owner:none/)
  await page.locator('#row-INC-462').waitFor()
  await page.keyboard.press('Space')
  await page.getByRole('complementary', { name: /Peek/ }).waitFor()
  await page.keyboard.press('Escape')
  await page.getByRole('complementary', { name: /Peek/ }).waitFor({ state: 'hidden' })
  desk.clean()
})

test('a filter is saved as a view, which is a tab from then on', fixtureOnly, async () => {
  const { page } = desk
  await page.goto('/r/host?q=environment:production')
  await page.getByRole('button', { name: 'Save this filter as a view' }).click()
  await page.getByRole('dialog').getByRole('textbox', { name: 'Name' }).fill('Production')
  await page.keyboard.press('Enter')
  await page.getByRole('tab', { name: /Production/, selected: true }).waitFor()
  await page.keyboard.press('1')
  await page.waitForURL((url) => !url.search.includes('environment'))
  desk.clean()
})

test('a selection is moved at once, and undo takes it back', fixtureOnly, async () => {
  const { page } = desk
  await page.goto('/r/incident?q=' + encodeURIComponent('state:detected'))
  await page.locator('#row-INC-462').waitFor()
  await page.keyboard.press('x')
  await page.keyboard.press('x')
  await page.getByRole('button', { name: 'Investigate' }).click()
  await page.locator('#row-INC-462').waitFor({ state: 'detached' })
  await page.getByText('Investigate: 2 incidents').waitFor()
  await page.keyboard.press('u')
  await page.locator('#row-INC-462').waitFor()
  assert.equal(target.store?.get('incident', 'INC-462').state, 'detected')
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

test('fields are changed in place, and the toast takes it back', fixtureOnly, async () => {
  const { page } = desk
  await page.goto('/r/host/web-2')
  await page.getByRole('heading', { name: 'Fields' }).waitFor()
  await page.keyboard.press('e')
  const form = page.getByRole('form', { name: 'Fields of web-2' })
  await form.getByLabel('Memory').fill('12 GiB')
  await form.getByLabel('Processors').fill('0')
  await form.getByRole('button', { name: /Save/ }).click()
  await form.getByText('0 is not between').waitFor()
  await form.getByLabel('Processors').fill('6')
  await page.keyboard.press('Control+Enter')
  await form.waitFor({ state: 'hidden' })
  assert.equal(target.store?.get('host', 'web-2').fields.memory_bytes, 12 * 2 ** 30)
  await page.getByRole('button', { name: 'Undo' }).click()
  await page.getByText('Taken back').waitFor()
  assert.equal(target.store?.get('host', 'web-2').fields.memory_bytes, 8 * 2 ** 30)
  desk.clean()
})

test('a stale change shows both versions, and the person chooses', fixtureOnly, async () => {
  const { page } = desk
  const store = target.store
  assert.ok(store)
  await page.goto('/r/host/pg-2')
  await page.getByRole('heading', { name: 'Fields' }).waitFor()
  await page.keyboard.press('e')
  const form = page.getByRole('form', { name: 'Fields of pg-2' })
  await form.getByLabel('Operating system').fill('Debian GNU/Linux 13')
  await form.getByLabel('Kernel').fill('6.12')
  store.update(store.get('host', 'pg-2'), { fields: { os_name: 'Debian GNU/Linux 12.9' } }, { kind: 'person', key: 'jon' })
  await form.getByRole('button', { name: /Save/ }).click()
  const dialog = page.getByRole('dialog', { name: 'pg-2 was changed meanwhile' })
  await dialog.getByRole('radio', { name: 'os_name, there now: Debian GNU/Linux 12.9' }).waitFor()
  // What nobody else touched stays ours; what both changed is theirs until we say otherwise.
  await dialog.getByRole('button', { name: 'Save 1 of yours' }).click()
  await form.waitFor({ state: 'hidden' })
  assert.equal(store.get('host', 'pg-2').fields.os_name, 'Debian GNU/Linux 12.9')
  assert.equal(store.get('host', 'pg-2').fields.kernel, '6.12')
  desk.clean()
})

test('a link is made with the picker and taken away again', fixtureOnly, async () => {
  const { page } = desk
  await page.goto('/r/application/grafana')
  await page.getByRole('button', { name: 'Link', exact: true }).click()
  await page.getByLabel('Kind of link').selectOption('depends-on')
  const picker = page.getByRole('combobox', { name: 'Depends on to' })
  await picker.click()
  await picker.pressSequentially('postgr')
  await page.getByRole('option', { name: /postgres/ }).click()
  await page.getByText('postgres is linked').waitFor()
  assert.ok(target.store?.links.some((l) => l.from === 'grafana' && l.to === 'postgres'))
  await page.getByRole('button', { name: 'Take away the link to postgres' }).click()
  await page.getByText('postgres is not linked any more').waitFor()
  desk.clean()
})

test('drift is shown, and either side can be accepted', fixtureOnly, async () => {
  const { page } = desk
  await page.goto('/r/host/web-1')
  await page.getByRole('button', { name: 'Accept what is seen: 16 GiB' }).click()
  await page.getByText('What is seen is declared now').waitFor()
  assert.equal(target.store?.get('host', 'web-1').fields.memory_bytes, 16 * 2 ** 30)
  await page.getByLabel('Search packages').fill('ssl')
  await page.getByRole('cell', { name: 'libssl3' }).waitFor()
  await page.getByRole('cell', { name: 'bash' }).waitFor({ state: 'hidden' })
  desk.clean()
})

test('an incident is acknowledged, moved on, written about, and told live', fixtureOnly, async () => {
  const { page } = desk
  const store = target.store
  assert.ok(store)
  await page.goto('/r/incident/INC-463')
  const timeline = page.getByRole('region', { name: 'Timeline' })
  await timeline.getByText('live', { exact: true }).waitFor()
  await page.keyboard.press('a')
  await timeline.getByText('acknowledged it').waitFor()
  assert.equal(store.get('incident', 'INC-463').owner, NAME)
  await page.keyboard.press('s')
  await timeline.getByText('began to investigate it').waitFor()
  await page.keyboard.press('n')
  await page.keyboard.type('The archive of the write-ahead log fills it.')
  await page.keyboard.press('Control+Enter')
  await timeline.getByText('The archive of the write-ahead log fills it.').waitFor()
  // Something happens elsewhere: it is told without a reload, with its cause.
  const cause = store.seq
  store.write({ subject: store.get('incident', 'INC-463'), action: 'note', note: 'Grown to 250 GiB.', actor: { kind: 'controller', key: 'respond' }, cause })
  await timeline.getByText('Grown to 250 GiB.').waitFor()
  await timeline.getByRole('button', { name: `because of #${cause}` }).click()
  desk.clean()
})

test('resolving asks for the cause', fixtureOnly, async () => {
  const { page } = desk
  await page.goto('/r/incident/INC-463')
  await page.getByRole('button', { name: 'Resolve' }).click()
  const dialog = page.getByRole('dialog', { name: /Resolve/ })
  await dialog.getByRole('button', { name: /Resolve/ }).click()
  await dialog.getByText('Cause summary is needed').waitFor()
  await dialog.getByLabel(/Cause summary/).fill('The archive was never cleaned.')
  await page.keyboard.press('Control+Enter')
  await page.getByRole('button', { name: 'Reopen' }).waitFor()
  assert.equal(target.store?.get('incident', 'INC-463').state, 'resolved')
  desk.clean()
})

test('a waiting run is approved on Now', fixtureOnly, async () => {
  const { page } = desk
  await page.goto('/')
  await page.getByRole('button', { name: 'Approve Grow the disk of pg-1 by 50 GiB' }).click()
  await page.getByText('No run waits for a yes.').waitFor()
  assert.equal(target.store?.get('runbook-run', 'RUN-2').state, 'approved')
  desk.clean()
})

test('the palette finds a class, a record and an act', async () => {
  const { page } = desk
  await page.goto('/')
  await page.getByRole('heading', { name: 'Needs a person' }).waitFor()
  await page.keyboard.press('Control+k')
  const box = page.getByRole('combobox', { name: 'Search or run a command' })
  await box.fill('checks')
  await page.getByRole('option', { name: /^Checks/ }).click()
  await page.waitForURL(/\/r\/check/)
  if (!REAL) {
    await page.keyboard.press('Control+k')
    await box.fill('pg-1 runs')
    await page.getByRole('option', { name: /pg-1 runs out of disk/ }).first().waitFor()
    await page.keyboard.press('Enter')
    await page.waitForURL(/INC-463/)
  }
  await page.keyboard.press('?')
  await page.getByRole('dialog', { name: 'Keyboard' }).waitFor()
  await page.keyboard.press('Escape')
  desk.clean()
})

test('the theme is kept', async () => {
  const { page } = desk
  await page.goto('/')
  await page.getByRole('heading', { name: 'Needs a person' }).waitFor()
  await page.keyboard.press('Control+.')
  await page.keyboard.press('Control+.')
  await page.reload()
  assert.equal(await page.evaluate(() => document.documentElement.dataset.theme), 'dark')
  desk.clean()
})

test('a second step is set up, asked for at sign-in, and a token is shown once', fixtureOnly, async () => {
  const { page } = desk
  await page.goto('/profile')
  await page.getByRole('button', { name: 'Set it up' }).click()
  await page.getByText('otpauth://').waitFor()
  await page.getByLabel('Code that the authenticator shows').fill('123456')
  await page.getByRole('button', { name: 'Turn it on' }).click()
  await page.getByRole('list', { name: 'Recovery codes' }).waitFor()
  await page.getByLabel('What it is for').fill('backup script')
  await page.getByRole('button', { name: 'Make a token' }).click()
  await page.getByText(/^mst_/).waitFor()
  const { page: other, context, clean } = await open(browser, target.url)
  await other.goto('/')
  await other.getByLabel('Name').fill(NAME)
  await other.getByLabel('Password').fill(PASSWORD)
  await other.getByRole('button', { name: 'Sign in' }).click()
  await other.getByRole('heading', { name: 'Second step' }).waitFor()
  await other.getByLabel('Code').fill('123456')
  await other.getByRole('button', { name: 'Sign in' }).click()
  await other.getByRole('heading', { name: 'Now', exact: true }).waitFor()
  clean()
  await context.close()
  desk.clean()
})

test('on a phone: the bar at the foot, rows of two lines, nothing wider than the glass', async () => {
  const { page, context, clean } = await open(browser, target.url, { viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true, storageState: await desk.context.storageState() })
  for (const path of ['/', '/r/incident?q=', '/r/check?q=', '/profile', ...(REAL ? [] : ['/r/incident/INC-461', '/r/host/web-1'])]) {
    await page.goto(path)
    await page.locator('main h1').first().waitFor()
    await page.waitForTimeout(400)
    const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth)
    assert.ok(wide <= 0, `${path} is ${wide} px too wide`)
  }
  await page.getByRole('button', { name: 'More', exact: true }).last().tap()
  await page.getByRole('dialog').getByRole('link', { name: 'Hosts' }).tap()
  await page.waitForURL(/\/r\/host/)
  clean()
  await context.close()
})

test('signing out leaves nothing behind', async () => {
  const { page } = desk
  await page.goto('/')
  await page.getByRole('heading', { name: 'Needs a person' }).waitFor()
  await page.locator('aside').getByRole('button', { name: /Ana Petrova/ }).click()
  await page.getByRole('menuitem', { name: 'Sign out' }).click()
  await page.getByRole('heading', { name: 'Sign in' }).waitFor()
  desk.clean()
})
