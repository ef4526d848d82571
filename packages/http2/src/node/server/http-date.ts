let text = "";
let validUntil = 0;

/** The value of a `date` header for now (RFC 9110, section 6.6.1). Rendered once a second. */
export function httpDate(): string {
  const now = Date.now();
  if (now >= validUntil || now < validUntil - 1000) {
    text = new Date(now).toUTCString();
    validUntil = now - (now % 1000) + 1000;
  }
  return text;
}
