/**
 * What `Retry-After` asks for (RFC 9110, section 10.2.3: seconds or a date), in milliseconds from now; 0 for a date that
 * is over, -1 for a value that is neither.
 */
export function parseRetryAfter(value: string, epochNow: number): number {
  if (/^\d{1,9}$/.test(value)) return Number(value) * 1000;
  const date = /^[A-Za-z]{3},/.test(value) ? Date.parse(value) : Number.NaN;
  return Number.isNaN(date) ? -1 : Math.max(0, date - epochNow);
}
