const maxKnown = 1024;
const known = new Map<string, string>([
  ["dnt", "DNT"],
  ["etag", "ETag"],
  ["te", "TE"],
  ["www-authenticate", "WWW-Authenticate"],
]);

/**
 * A lower-case header name as HTTP/1 applications usually write it: `content-type` becomes `Content-Type`. Kept for the
 * first thousand names, so that names made up by a peer can't fill memory.
 */
export function trainCase(name: string): string {
  const found = known.get(name);
  if (found !== undefined) return found;
  let result = "";
  let start = true;
  for (let i = 0; i < name.length; i++) {
    const char = name[i] as string;
    result += start ? char.toUpperCase() : char;
    start = char === "-";
  }
  if (known.size < maxKnown) known.set(name, result);
  return result;
}
