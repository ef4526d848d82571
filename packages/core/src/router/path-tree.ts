import { RouteBucket } from "./route-bucket.js";

/** A part of a path that several paths begin with (a radix tree). */
export class PathNode {
  /** What paths go on with here. */
  label: string;
  /** By the first character of their labels. For building; lookups use the three fields below. */
  children: Map<number, PathNode> | null = null;
  /** An only child, and the first character of its label. */
  code = -1;
  child: PathNode | null = null;
  /** Several children, by character: paths are ASCII. */
  table: (PathNode | null)[] | null = null;
  /** What matches the path that ends here. */
  exact: RouteBucket | null = null;
  /** What matches all paths that begin with what ends here, by whole segments. */
  prefix: RouteBucket | null = null;
  /** The next shorter prefix that matches whatever this one does. */
  outer: PathNode | null = null;

  constructor(label: string) {
    this.label = label;
  }
}

/** Paths and prefixes, found in time that depends on the path asked for, not on how many there are. */
export class PathTree {
  /** What matches the path itself. */
  exactFound: RouteBucket | null = null;
  /** The longest prefix of the path, by whole segments. */
  prefixFound: PathNode | null = null;
  readonly #root = new PathNode("");

  exact(path: string): RouteBucket {
    const node = this.#insert(path);
    node.exact ??= new RouteBucket();
    return node.exact;
  }

  prefix(path: string): RouteBucket {
    const node = this.#insert(path);
    node.prefix ??= new RouteBucket();
    return node.prefix;
  }

  /** Makes it ready to be looked up in. To be called when all are in. */
  seal(): void {
    link(this.#root, []);
  }

  /** Looks a path up. What it finds is in `exactFound` and `prefixFound` until the next one: nothing is made for it. */
  look(path: string): void {
    let node = this.#root;
    let prefix: PathNode | null = null;
    let at = 0;
    const { length } = path;
    while (at < length) {
      const code = path.charCodeAt(at);
      const child: PathNode | null | undefined =
        node.table !== null ? node.table[code] : node.code === code ? node.child : null;
      if (child == null) break;
      const { label } = child;
      if (label.length > 1 && !path.startsWith(label, at)) break;
      at += label.length;
      node = child;
      // 47 is "/".
      if (node.prefix !== null && (at === length || path.charCodeAt(at) === 47)) prefix = node;
      if (at === length) {
        this.exactFound = node.exact;
        this.prefixFound = prefix;
        return;
      }
    }
    this.exactFound = null;
    this.prefixFound = prefix;
  }

  #insert(path: string): PathNode {
    let node = this.#root;
    let at = 0;
    while (at < path.length) {
      node.children ??= new Map();
      const code = path.charCodeAt(at);
      const child = node.children.get(code);
      if (child === undefined) {
        const leaf = new PathNode(path.slice(at));
        node.children.set(code, leaf);
        return leaf;
      }
      const common = commonLength(child.label, path, at);
      if (common < child.label.length) {
        const middle = new PathNode(child.label.slice(0, common));
        child.label = child.label.slice(common);
        middle.children = new Map([[child.label.charCodeAt(0), child]]);
        node.children.set(code, middle);
        node = middle;
      } else {
        node = child;
      }
      at += common;
    }
    return node;
  }
}

/** Links each prefix to the one around it. `above`: nodes with a prefix from the root down to here, and whether the path has gone on with a slash since. */
function link(node: PathNode, above: readonly { readonly node: PathNode; readonly whole: boolean | null }[]): void {
  const here = above.map((one) => ({ ...one, whole: one.whole ?? (node.label === "" ? null : node.label[0] === "/") }));
  node.outer = here.findLast(({ whole }) => whole === true)?.node ?? null;
  const below = node.prefix === null ? here : [...here, { node, whole: null }];
  for (const [code, child] of node.children ?? []) {
    link(child, below);
    node.code = code;
    node.child = child;
  }
  if (node.children === null || node.children.size < 2) return;
  node.table = new Array<PathNode | null>(128).fill(null);
  for (const [code, child] of node.children) node.table[code] = child;
}

function commonLength(label: string, path: string, at: number): number {
  let i = 0;
  while (i < label.length && label.charCodeAt(i) === path.charCodeAt(at + i)) i++;
  return i;
}
