/** Places the nodes of a small impact graph: what is needed below, what is hurt above. Pure. */
import type { Graph, GraphNode } from '../api/types'

export interface Placed extends GraphNode {
  x: number
  y: number
}

export const NODE = { width: 152, height: 30, gapX: 16, gapY: 34 }

/** Signed distance from the root: links go from what depends to what it depends on, so out of the root is down. */
function levels(graph: Graph): Map<string, number> {
  const level = new Map([[graph.root, 0]])
  const queue = [graph.root]
  for (let key = queue.shift(); key !== undefined; key = queue.shift()) {
    for (const l of graph.links) {
      const [next, step] = l.from === key ? [l.to, 1] : l.to === key ? [l.from, -1] : ['', 0]
      if (!step || level.has(next)) continue
      level.set(next, level.get(key)! + step)
      queue.push(next)
    }
  }
  return level
}

export function place(graph: Graph): { nodes: Placed[]; width: number; height: number } {
  const level = levels(graph)
  const rows = new Map<number, GraphNode[]>()
  for (const node of graph.nodes) {
    const at = level.get(node.key) ?? node.depth
    rows.set(at, [...(rows.get(at) ?? []), node])
  }
  const order = [...rows.keys()].toSorted((a, b) => a - b)
  const column = new Map<string, number>()
  const placed: Placed[] = []
  const widest = Math.max(1, ...[...rows.values()].map((r) => r.length))
  const width = widest * (NODE.width + NODE.gapX) - NODE.gapX
  // Rows are ordered by the mean place of their neighbours in rows already placed, nearest to the root first.
  for (const at of order.toSorted((a, b) => Math.abs(a) - Math.abs(b) || a - b)) {
    const mean = (key: string): number => {
      const seen = graph.links.flatMap((l) => (l.from === key ? [column.get(l.to)] : l.to === key ? [column.get(l.from)] : [])).filter((x) => x !== undefined)
      return seen.length ? seen.reduce((a, b) => a + b, 0) / seen.length : width / 2
    }
    const row = rows.get(at)!.toSorted((a, b) => mean(a.key) - mean(b.key) || a.key.localeCompare(b.key))
    const rowWidth = row.length * (NODE.width + NODE.gapX) - NODE.gapX
    row.forEach((node, i) => {
      const x = (width - rowWidth) / 2 + i * (NODE.width + NODE.gapX)
      column.set(node.key, x)
      placed.push({ ...node, x, y: order.indexOf(at) * (NODE.height + NODE.gapY) })
    })
  }
  return { nodes: placed, width, height: order.length * (NODE.height + NODE.gapY) - NODE.gapY }
}
