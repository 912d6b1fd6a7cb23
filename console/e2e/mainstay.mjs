// The server under test: the real program, on an empty data directory and a free port, watching this very machine, with
// the records of world.yaml applied by its own command line. Ended by its process handle; its data is removed.
import { spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const ROOT = join(import.meta.dirname ?? '.', '../..')
const WORLD = join(import.meta.dirname ?? '.', 'world.yaml')
/** How long the program may take to print where it listens: it is a debug build on a busy machine. */
const START_MS = 60_000
/** How long something that Mainstay does by itself may take: a check, an incident, a page. */
const SOON_MS = 40_000

/** @typedef {import('../src/api/types.ts').Rec} Rec */

/** @returns {string} the program: MAINSTAY_BIN, or what `cargo build` left */
function program() {
  if (process.env.MAINSTAY_BIN) return process.env.MAINSTAY_BIN
  const asked = spawnSync('cargo', ['metadata', '--format-version', '1', '--no-deps', '--offline'], { cwd: ROOT, encoding: 'utf8', maxBuffer: 64 << 20 })
  if (asked.status !== 0) throw new Error(`cargo metadata: ${asked.stderr}`)
  const path = join(JSON.parse(asked.stdout).target_directory, 'debug/mainstay')
  if (!existsSync(path)) throw new Error(`${path} is not there: run \`cargo build --package mainstay\` first, or name the program in MAINSTAY_BIN`)
  return path
}

export class Mainstay {
  /** @param {string} data @param {string} url @param {string} bootstrap @param {import('node:child_process').ChildProcess} child @param {string} bin */
  constructor(data, url, bootstrap, child, bin) {
    this.data = data
    this.url = url
    this.bootstrap = bootstrap
    this.child = child
    this.bin = bin
    this.token = this.cli('admin', 'token', 'create', '--role', 'admin', '--name', 'browser tests').trim()
  }

  /** An empty Mainstay that watches this machine. @returns {Promise<Mainstay>} */
  static async start() {
    const bin = program()
    const data = mkdtempSync(join(tmpdir(), 'mainstay-console-'))
    const child = spawn(bin, ['up', '--data', data, '--listen', '127.0.0.1:0', '--allow', join(data, 'allow')], { stdio: ['ignore', 'pipe', 'pipe'] })
    try {
      const link = await printed(child, /First sign-in.*?(http:\S+\/bootstrap\?token=(\S+))/)
      return new Mainstay(data, new URL(link[1]).origin, link[2], child, bin)
    } catch (error) {
      child.kill()
      throw error
    }
  }

  /** The same with the world applied and its checks judged. @returns {Promise<Mainstay>} */
  static async withWorld() {
    const server = await Mainstay.start()
    try {
      server.cli('apply', '-f', WORLD)
      await server.past()
      await server.until('the shop is down, and an incident tells of it', async () => (await server.list('incident', 'state:open fingerprint:"check:shop-front"')).length > 0)
    } catch (error) {
      await server.close()
      throw error
    }
    return server
  }

  /** Runs the command line against this server; its output. @param {...string} args @returns {string} */
  cli(...args) {
    const ran = spawnSync(this.bin, ['--data', this.data, ...args], { encoding: 'utf8' })
    if (ran.status !== 0) throw new Error(`mainstay ${args.join(' ')}: ${ran.stdout}${ran.stderr}`)
    return ran.stdout
  }

  /**
   * Asks the API as the administrator's token; throws what is refused.
   * @param {string} method @param {string} path @param {unknown} [body] @returns {Promise<any>}
   */
  async api(method, path, body) {
    const headers = { authorization: `Bearer ${this.token}`, 'content-type': 'application/json' }
    const answer = await fetch(`${this.url}/api/v1${path}`, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) })
    const text = await answer.text()
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${text}`)
    return text ? JSON.parse(text) : undefined
  }

  /** @param {string} cls @param {string} key @returns {Promise<Rec>} */
  get = (cls, key) => this.api('GET', `/records/${cls}/${key}`)

  /** The first hundred that match. @param {string} cls @param {string} filter @returns {Promise<Rec[]>} */
  list = async (cls, filter) => (await this.api('GET', `/records/${cls}?limit=100&filter=${encodeURIComponent(filter)}`)).records

  /** @param {string} what @param {() => Promise<boolean>} holds */
  async until(what, holds) {
    const end = Date.now() + SOON_MS
    while (!(await holds())) {
      if (Date.now() > end) throw new Error(`not within ${SOON_MS / 1000} s: ${what}`)
      await new Promise((resolve) => setTimeout(resolve, 250))
    }
  }

  /** Four hundred incidents of old: a list that is longer than any window. */
  async past() {
    const titles = ['Login is slow for some', 'Writes stall on pg-1', 'The mail queue grows', 'Search answers with old results']
    const made = Array.from({ length: 400 }, (_, i) => ({ op: 'create', class: 'incident', fields: { title: titles[i % titles.length], impact: ['high', 'medium', 'low'][i % 3] } }))
    const { results } = await this.api('POST', '/bulk', { acts: made, atomic: true })
    const fields = { resolution: 'Mended.', cause_summary: 'A full disk.', closure_code: 'fixed' }
    const steps = results.map((/** @type {{ record: Rec }} */ r) => ({ op: 'transition', class: 'incident', key: r.record.key, name: 'resolve', fields }))
    await this.api('POST', '/bulk', { acts: steps, atomic: true })
  }

  async close() {
    const ended = new Promise((resolve) => this.child.once('exit', resolve))
    this.child.kill('SIGTERM')
    await ended
    rmSync(this.data, { recursive: true, force: true })
  }
}

/**
 * What a program prints, once it does.
 * @param {import('node:child_process').ChildProcess} child @param {RegExp} pattern @returns {Promise<RegExpMatchArray>}
 */
function printed(child, pattern) {
  return new Promise((resolve, reject) => {
    let text = ''
    const timer = setTimeout(() => reject(new Error(`mainstay said nothing of ${pattern} in time: ${text}`)), START_MS)
    const hear = (/** @type {Buffer} */ chunk) => {
      text += chunk
      const found = text.match(pattern)
      if (!found) return
      clearTimeout(timer)
      resolve(found)
    }
    child.stdout?.on('data', hear)
    child.stderr?.on('data', hear)
    child.once('exit', (code) => reject(new Error(`mainstay ended with ${code}: ${text}`)))
  })
}
