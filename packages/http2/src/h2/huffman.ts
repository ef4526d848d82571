// RFC 7541, appendix B. The code is canonical: the lengths alone, sorted by (length, symbol), give every code.
// biome-ignore format: a table
const lengths: readonly number[] = [
  13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28,
  28, 28, 28, 28, 28, 28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6,
  5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7,
  7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
  15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7,
  7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23,
  24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22, 21, 20, 22, 22, 23, 23, 21,
  23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
  26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24,
  21, 21, 26, 26, 28, 27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23,
  26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26, 30,
];

const endOfString = 256;
const codes = new Uint32Array(257);

// One entry for each inner node of the code tree and each nibble of input: next node << 16 | emits << 8 | symbol.
const nodes = 256;
const transitions = new Int32Array(nodes * 16);
const emits = 0x100;
const refused = -1;
// Whether a string may end at a node: at its root, or less than eight bits into the code of all ones (section 5.2).
const mayEnd = new Uint8Array(nodes);

function assignCodes(): void {
  const order = lengths.map((_, symbol) => symbol).sort((a, b) => lengths[a]! - lengths[b]! || a - b);
  let code = 0;
  let length = lengths[order[0]!]!;
  for (const symbol of order) {
    code *= 2 ** (lengths[symbol]! - length);
    length = lengths[symbol]!;
    codes[symbol] = code;
    code += 1;
  }
}

function buildTransitions(): void {
  // A child is an inner node (>= 0) or a leaf (-2 - symbol); -1 is not there yet.
  const children: number[] = [-1, -1];
  for (let symbol = 0; symbol <= endOfString; symbol += 1) {
    let node = 0;
    for (let bit = lengths[symbol]! - 1; bit >= 0; bit -= 1) {
      const at = node * 2 + ((codes[symbol]! >>> bit) & 1);
      if (bit === 0) children[at] = -2 - symbol;
      else if (children[at] === -1) {
        children[at] = children.length / 2;
        children.push(-1, -1);
      }
      node = children[at]!;
    }
  }
  for (let node = 0, depth = 0; depth < 8; depth += 1) {
    mayEnd[node] = 1;
    node = children[node * 2 + 1]!;
  }
  for (let start = 0; start < nodes; start += 1) {
    for (let nibble = 0; nibble < 16; nibble += 1) {
      let node = start;
      let emitted = 0;
      for (let bit = 3; bit >= 0 && node !== refused; bit -= 1) {
        node = children[node * 2 + ((nibble >>> bit) & 1)]!;
        if (node > -2) continue;
        const symbol = -2 - node;
        if (symbol === endOfString) node = refused;
        else {
          emitted = emits | symbol;
          node = 0;
        }
      }
      transitions[start * 16 + nibble] = node === refused ? refused : (node << 16) | emitted;
    }
  }
}

assignCodes();

// Built for the first string that is decoded: V8 compiles a loop of this length for good, which a process that never needs it
// would pay with megabytes.
let built = false;

let scratch = Buffer.allocUnsafeSlow(1024);

/** Where `huffmanDecode` leaves its bytes. They stay valid until it is called again. */
export function huffmanOutput(): Buffer {
  return scratch;
}

/** Decodes into `huffmanOutput()` and returns the number of bytes, or -1 when the input is not a valid string. */
export function huffmanDecode(input: Buffer, start: number, end: number): number {
  if (!built) {
    built = true;
    buildTransitions();
  }
  // The shortest code has five bits.
  const most = Math.floor(((end - start) * 8) / 5);
  if (scratch.length < most) scratch = Buffer.allocUnsafeSlow(most * 2);
  const out = scratch;
  let written = 0;
  let node = 0;
  for (let at = start; at < end; at += 1) {
    const byte = input[at]!;
    let step = transitions[(node << 4) | (byte >>> 4)]!;
    if (step === refused) return -1;
    if ((step & emits) !== 0) out[written++] = step;
    step = transitions[((step >>> 16) << 4) | (byte & 15)]!;
    if (step === refused) return -1;
    if ((step & emits) !== 0) out[written++] = step;
    node = step >>> 16;
  }
  return mayEnd[node] === 1 ? written : -1;
}

/** Bytes that a string takes when encoded. Its characters are below 256. */
export function huffmanLength(text: string): number {
  let bits = 0;
  for (let at = 0; at < text.length; at += 1) bits += lengths[text.charCodeAt(at) & 0xff]!;
  return (bits + 7) >>> 3;
}

/** Writes a string's code and returns the offset after it. The caller has made room for `huffmanLength(text)`. */
export function huffmanEncode(text: string, buffer: Buffer, at: number): number {
  let hold = 0;
  let held = 0;
  for (let index = 0; index < text.length; index += 1) {
    const symbol = text.charCodeAt(index) & 0xff;
    let length = lengths[symbol]!;
    const code = codes[symbol]!;
    // Codes have up to 30 bits, so they go out in bytes as soon as there are eight.
    while (length > 0) {
      const take = Math.min(8 - held, length);
      hold = (hold << take) | ((code >>> (length - take)) & ((1 << take) - 1));
      held += take;
      length -= take;
      if (held === 8) {
        buffer[at++] = hold;
        hold = 0;
        held = 0;
      }
    }
  }
  if (held > 0) buffer[at++] = (hold << (8 - held)) | ((1 << (8 - held)) - 1);
  return at;
}
