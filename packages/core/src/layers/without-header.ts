import type { HeaderList } from "@selvage/http2";

/** A copy of headers without those of one name (lower case): a list of its own, to which more may be added. */
export function withoutHeader(headers: HeaderList, name: string): string[] {
  const kept: string[] = [];
  for (let i = 0; i + 1 < headers.length; i += 2) {
    if (headers[i] !== name) kept.push(headers[i]!, headers[i + 1]!);
  }
  return kept;
}
