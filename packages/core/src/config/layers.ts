import { type DocumentPath, type DocumentProblem, pathText } from "@selvage/policy";

/** One place that configuration comes from. */
export interface Layer {
  /** How errors call it: a file's name, a variable, `options`. */
  readonly where: (keys: DocumentPath) => string;
  /** What relative paths in it are relative to. */
  readonly directory: string;
  readonly tree: Readonly<Record<string, unknown>>;
}

/** Layers laid over each other, field by field; who set what is remembered. */
export class Layers {
  readonly tree: Record<string, unknown> = {};
  readonly problems: DocumentProblem[] = [];
  readonly #origins = new Map<string, { readonly layer: Layer; readonly keys: DocumentPath }>();

  /** Lays one more on top. Lists and single values replace what was there, objects are merged. */
  add(layer: Layer): void {
    this.#merge(this.tree, layer.tree, [], layer);
  }

  /** Who set a field, or what is nearest to it: something in it, or what it is in. */
  origin(keys: DocumentPath): Layer | null {
    for (let length = keys.length; length > 0; length--) {
      const path = pathText(keys.slice(0, length));
      const exact = this.#origins.get(path);
      if (exact !== undefined) return exact.layer;
      for (const [other, origin] of this.#origins) if (isInside(other, path)) return origin.layer;
    }
    return null;
  }

  /** Path of each field that was set, and where. */
  origins(): Record<string, string> {
    const origins: Record<string, string> = Object.create(null);
    for (const [path, { layer, keys }] of this.#origins) origins[path] = layer.where(keys);
    return origins;
  }

  isSet(keys: DocumentPath): boolean {
    const path = pathText(keys);
    return this.#origins.has(path) || [...this.#origins.keys()].some((other) => isInside(other, path));
  }

  #merge(
    into: Record<string, unknown>,
    over: Readonly<Record<string, unknown>>,
    keys: DocumentPath,
    layer: Layer,
  ): void {
    if (keys.length === 1 && keys[0] === "identity") this.#forgetOtherSource(into, over);
    for (const key of Object.keys(over)) {
      const value = over[key];
      if (value === undefined) continue;
      const path = [...keys, key];
      if (key === "__proto__") {
        const text = pathText(path);
        this.problems.push({
          keys: path,
          path: text,
          value: undefined,
          problem: "is not a known field here",
          remedy: "",
        });
        continue;
      }
      if (isObject(value) && !isWhole(path)) {
        if (!Object.hasOwn(into, key) || !isObject(into[key])) {
          this.#forget(path);
          into[key] = {};
          if (Object.keys(value).length === 0) this.#origins.set(pathText(path), { layer, keys: path });
        }
        this.#merge(into[key] as Record<string, unknown>, value, path, layer);
      } else {
        this.#forget(path);
        into[key] = value;
        this.#origins.set(pathText(path), { layer, keys: path });
      }
    }
  }

  /** Another source of identity needs none of the fields of the one that it replaces. */
  #forgetOtherSource(into: Record<string, unknown>, over: Readonly<Record<string, unknown>>): void {
    if (over["source"] === undefined || into["source"] === undefined || over["source"] === into["source"]) return;
    const federates = over["source"] === "files" || over["source"] === "ca";
    for (const key of Object.keys(into)) {
      if (key === "federation" && federates) continue;
      delete into[key];
      this.#forget(["identity", key]);
    }
  }

  #forget(keys: DocumentPath): void {
    const path = pathText(keys);
    for (const other of [...this.#origins.keys()]) {
      if (other === path || isInside(other, path)) this.#origins.delete(other);
    }
  }
}

function isInside(path: string, outer: string): boolean {
  return path.startsWith(outer) && (path[outer.length] === "." || path[outer.length] === "[");
}

/** Objects that are replaced as a whole, since their fields exclude each other. */
function isWhole(keys: DocumentPath): boolean {
  return keys.length === 4 && keys[0] === "outbound" && keys[1] === "services" && keys[3] === "endpoints";
}

function isObject(value: unknown): value is Record<string, unknown> {
  if (typeof value !== "object" || value === null) return false;
  const prototype = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}
