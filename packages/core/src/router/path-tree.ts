import { RouteBucket } from "./route-bucket.js";

/** A part of a path that several paths begin with (a radix tree). */
export class PathNode {
  /** What paths go on with here. */
  label: string;
  /** By the first character of their labels. */
  children: Map<number, PathNode> | null = null;
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

  /** Links each prefix to the one around it. To be called when all are in. */
  seal(): void {
    link(this.#root, []);
  }

  /** Where the path itself ends, or `null`. */
  find(path: string): PathNode | null {
    let node = this.#root;
    let at = 0;
    while (at < path.length) {
      const child = node.children?.get(path.charCodeAt(at));
      if (child === undefined || !path.startsWith(child.label, at)) return null;
      at += child.label.length;
      node = child;
    }
    return node;
  }

  /** The longest prefix of the path, by whole segments, or `null`. */
  innermost(path: string): PathNode | null {
    let node = this.#root;
    let found: PathNode | null = null;
    let at = 0;
    while (at < path.length) {
      const child = node.children?.get(path.charCodeAt(at));
      if (child === undefined || !path.startsWith(child.label, at)) break;
      at += child.label.length;
      node = child;
      // 47 is "/".
      if (node.prefix !== null && (at === path.length || path.charCodeAt(at) === 47)) found = node;
    }
    return found;
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

/** `above`: nodes with a prefix from the root down to here, and whether the path has gone on with a slash since. */
function link(node: PathNode, above: readonly { readonly node: PathNode; readonly whole: boolean | null }[]): void {
  const here = above.map((one) => ({ ...one, whole: one.whole ?? (node.label === "" ? null : node.label[0] === "/") }));
  node.outer = here.findLast(({ whole }) => whole === true)?.node ?? null;
  const below = node.prefix === null ? here : [...here, { node, whole: null }];
  for (const child of node.children?.values() ?? []) link(child, below);
}

function commonLength(label: string, path: string, at: number): number {
  let i = 0;
  while (i < label.length && label.charCodeAt(i) === path.charCodeAt(at + i)) i++;
  return i;
}
