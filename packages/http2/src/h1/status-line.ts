import type { FieldBlock } from "./field-block.js";
import { isFieldValue } from "./grammar.js";
import type { StartLine } from "./request-line.js";
import { type Violation, violations } from "./violation.js";

/** RFC 9112, section 4. The reason phrase is dropped: HTTP/2 has none, and nobody may depend on it. */
export class StatusLine implements StartLine {
  status = 0;
  version: "1.0" | "1.1" = "1.1";

  parse(_bytes: Uint8Array, _at: number, text: string): Violation | null {
    const version = text.slice(0, 9);
    if (version === "HTTP/1.1 ") this.version = "1.1";
    else if (version === "HTTP/1.0 ") this.version = "1.0";
    else return /^HTTP\/[0-9]/.test(text) ? violations.version : violations.statusLine;
    // A server may leave out the space before an empty reason: others read it so, too, and nothing hangs on it.
    if (!/^[1-9][0-9][0-9](?: |$)/.test(text.slice(9, 13))) return violations.statusLine;
    this.status = Number(text.slice(9, 12));
    return isFieldValue(text) ? null : violations.lineEnding;
  }

  check(fields: FieldBlock): Violation | null {
    return this.version === "1.0" && fields.chunked ? violations.transferEncodingIn10 : null;
  }
}
