/** A type whose groups are all there: what holds once the defaults lie beneath. Fields without a default are asked of `options`. */
export type Filled<T> = T extends readonly unknown[]
  ? T
  : T extends object
    ? { [K in keyof T]-?: Filled<NonNullable<T[K]>> }
    : T;

/** `over` on top of `base`: objects by field, anything else as a whole. */
export function overlay(base: unknown, over: unknown): unknown {
  if (over === undefined) return base;
  if (!isObject(base) || !isObject(over)) return over;
  const result: Record<string, unknown> = { ...base };
  for (const key of Object.keys(over))
    result[key] = overlay(Object.hasOwn(base, key) ? base[key] : undefined, over[key]);
  return result;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
