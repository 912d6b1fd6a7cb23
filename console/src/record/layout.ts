/** Places the nodes of a small impact graph: what is needed below, what is hurt above. Pure. */
import type { Graph, GraphNode } from '../api/types'
import { groupBy } from '../lib/group'

export interface Placed extends GraphNode {
  x: number
  y: number
  width: number
}

export const NODE_HEIGHT = 28
const GAP_X = 10
const GAP_Y = 30
const LEAST = 64
const MOST_WIDTH = 176
/** A level wider than this goes on in a second row: the picture stands in a side panel and is read, not scrolled. */
export const ROW_WIDTH = 350

/** Inter at 12 px takes up to 6.8 px a letter; the sign and the edges take the rest. */
const widthOf = (node: GraphNode): number => Math.max(LEAST, Math.min(MOST_WIDTH, 44 + node.title.length * 6.8))

/** Signed distance from the root: links go from what depends to what it depends on, so out of the root is down. */
function levels(graph: Graph): Map<string, number> {
  const level = new Map([[graph.root_id, 0]])
  const queue = [graph.root_id]
  for (let key = queue.shift(); key !== undefined; key = queue.shift()) {
    for (const l of graph.links) {
      const [next, step] = l.from_id === key ? [l.to_id, 1] : l.to_id === key ? [l.from_id, -1] : ['', 0]
      if (!step || level.has(next)) continue
      level.set(next, level.get(key)! + step)
      queue.push(next)
    }
  }
  return level
}

/** Cuts a level into rows that fit. */
function wrap(nodes: GraphNode[]): GraphNode[][] {
  const rows: GraphNode[][] = [[]]
  let used = 0
  for (const node of nodes) {
    if (used && used + widthOf(node) > ROW_WIDTH) {
      rows.push([])
      used = 0
    }
    rows.at(-1)!.push(node)
    used += widthOf(node) + GAP_X
  }
  return rows
}

export function place(graph: Graph): { nodes: Placed[]; height: number } {
  const level = levels(graph)
  const byLevel = groupBy(graph.nodes, (n) => level.get(n.id) ?? n.depth)
  const middle = new Map<string, number>()
  const placed: Placed[] = []
  let y = 0
  for (const at of [...byLevel.keys()].toSorted((a, b) => a - b)) {
    // Neighbours that stand already pull a node towards their own place: fewer lines cross.
    const pull = (key: string): number => {
      const seen = graph.links.flatMap((l) => (l.from_id === key ? [middle.get(l.to_id)] : l.to_id === key ? [middle.get(l.from_id)] : [])).filter((x) => x !== undefined)
      return seen.length ? seen.reduce((a, b) => a + b, 0) / seen.length : ROW_WIDTH / 2
    }
    for (const row of wrap(byLevel.get(at)!.toSorted((a, b) => pull(a.id) - pull(b.id) || a.key.localeCompare(b.key)))) {
      const width = row.reduce((sum, n) => sum + widthOf(n) + GAP_X, -GAP_X)
      let x = (ROW_WIDTH - width) / 2
      for (const node of row) {
        middle.set(node.id, x + widthOf(node) / 2)
        placed.push({ ...node, x, y, width: widthOf(node) })
        x += widthOf(node) + GAP_X
      }
      y += NODE_HEIGHT + GAP_Y
    }
  }
  return { nodes: placed, height: y - GAP_Y }
}

/** Only what is run (and the root): people, pages and runs are ties too, but nothing depends on them. */
export function onlyRun(graph: Graph, isRun: (cls: string) => boolean): Graph {
  const nodes = graph.nodes.filter((n) => n.id === graph.root_id || isRun(n.class))
  const keys = new Set(nodes.map((n) => n.id))
  const links = graph.links.filter((l) => keys.has(l.from_id) && keys.has(l.to_id))
  const reached = levels({ ...graph, nodes, links })
  return { ...graph, links, nodes: nodes.filter((n) => reached.has(n.id)) }
}
