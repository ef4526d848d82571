// RFC 9113, section 8.2.1, and RFC 9110, section 5.5. Stricter than the first: of the control characters only HTAB passes.

/** 1 for a byte that no field value may hold. */
export const badValueByte = new Uint8Array(256);
for (let byte = 0; byte < 0x20; byte += 1) badValueByte[byte] = byte === 0x09 ? 0 : 1;
badValueByte[0x7f] = 1;

const badValue = /[^\t\x20-\x7e\x80-\xff]/;

export const valueFault = "a field value has a forbidden character";
export const edgeFault = "a field value starts or ends with white space";

/** Why a value makes a message malformed, or `null`. */
export function judgeValue(value: string): string | null {
  if (badValue.test(value)) return valueFault;
  return hasBlankEdge(value) ? edgeFault : null;
}

export function hasBlankEdge(value: string): boolean {
  const length = value.length;
  if (length === 0) return false;
  const first = value.charCodeAt(0);
  const last = value.charCodeAt(length - 1);
  return first === 0x20 || first === 0x09 || last === 0x20 || last === 0x09;
}
