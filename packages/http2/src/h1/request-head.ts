import type { Exchange, HeaderCase, HeaderList } from "../exchange.js";
import type { FieldWriter } from "./field-writer.js";
import { isAuthority, isTarget, isToken } from "./grammar.js";

/**
 * Makes request heads (RFC 9112, sections 3 and 5), into itself. What would be read differently by somebody, or as two requests, is refused:
 * `fault` says why.
 */
export class RequestHead {
  text = "";
  fault: string | null = null;
  /** The body goes out chunked. */
  chunked = false;
  readonly #fields: FieldWriter;
  #authority = "";
  #method = "GET";
  // What `text` was made of last, if it had no body.
  #lastHeaders: HeaderList | null = null;
  #lastCase: HeaderCase | null = null;
  #lastMethod = "";
  #lastPath = "";
  #lastAuthority = "";
  #lastVersion = "";

  constructor(fields: FieldWriter) {
    this.#fields = fields;
  }

  encode(x: Exchange): void {
    const fields = this.#fields;
    fields.encode(x.headers, x.headerCase);
    if (this.#repeats(x)) return;
    this.#lastHeaders = null;
    this.chunked = false;
    this.fault = fields.fault ?? this.#check(x);
    if (this.fault !== null) return;
    const { host, trailersAccepted } = fields;
    const old = x.version === "1.0";
    let text = `${x.method} ${target(x)} HTTP/${old ? "1.0" : "1.1"}\r\n`;
    if (host !== null) text += `Host: ${host}\r\n`;
    // As linkerd2-proxy: an HTTP/1.0 request without Host stays one, unless its target needs it.
    else if (!old || x.absoluteForm) text += `Host: ${x.authority}\r\n`;
    text += fields.text;
    text += this.#framing(x);
    if (x.tunnel && fields.upgrade !== "") text += `Connection: Upgrade\r\nUpgrade: ${fields.upgrade}\r\n`;
    else if (old) text += "Connection: close\r\n";
    else if (trailersAccepted) text += "TE: trailers\r\nConnection: TE\r\n";
    this.text = `${text}\r\n`;
    if (isPlain(x)) this.#remember(x);
  }

  /** `text` is what it would be. A list of headers never changes, so that the same one says the same. */
  #repeats(x: Exchange): boolean {
    return (
      x.headers === this.#lastHeaders &&
      x.path === this.#lastPath &&
      x.method === this.#lastMethod &&
      x.authority === this.#lastAuthority &&
      x.version === this.#lastVersion &&
      x.headerCase === this.#lastCase &&
      isPlain(x)
    );
  }

  #remember(x: Exchange): void {
    this.#lastHeaders = x.headers;
    this.#lastCase = x.headerCase;
    this.#lastMethod = x.method;
    this.#lastPath = x.path;
    this.#lastAuthority = x.authority;
    this.#lastVersion = x.version;
  }

  #check(x: Exchange): string | null {
    const { method, authority, path } = x;
    const fields = this.#fields;
    if (method !== this.#method) {
      if (!isToken(method)) return "a method that is no token";
      this.#method = method;
    }
    if (!this.#isAuthority(authority)) return "an authority that names no host";
    if (fields.host === "" || (fields.host !== null && !this.#isAuthority(fields.host)))
      return "a host header that names no host";
    if (authority === "" && (x.absoluteForm || (fields.host === null && x.version !== "1.0"))) return "no authority";
    if (method === "CONNECT") {
      if (!x.tunnel || x.version === "1.0" || !/:[0-9]+$/.test(authority)) return "a CONNECT that asks for no tunnel";
      return fields.contentLength > 0 ? "a CONNECT with a body" : null;
    }
    if (path === "*" ? method !== "OPTIONS" : path.charCodeAt(0) !== 0x2f) return "a path that doesn't begin with /";
    if (!isTarget(path)) return "a path that can't be sent";
    if (x.tunnel) return this.#checkUpgrade();
    return this.#checkBody(x);
  }

  #checkUpgrade(): string | null {
    if (this.#fields.upgrade === "") return "a tunnel without upgrade";
    return this.#fields.contentLength > 0 ? "an upgrade with a body" : null;
  }

  #checkBody(x: Exchange): string | null {
    const declared = this.#fields.contentLength;
    if (x.body === null) return declared > 0 ? "a content-length without a body" : null;
    if (declared >= 0 && x.body.length >= 0 && declared !== x.body.length)
      return "a content-length that isn't the body's";
    return declared < 0 && x.body.length < 0 && x.version === "1.0" ? "an HTTP/1.0 body without content-length" : null;
  }

  #isAuthority(text: string): boolean {
    if (text === "" || text === this.#authority) return true;
    if (!isAuthority(text)) return false;
    this.#authority = text;
    return true;
  }

  #framing(x: Exchange): string {
    if (x.tunnel) return "";
    const declared = this.#fields.contentLength;
    if (declared >= 0) return `Content-Length: ${declared}\r\n`;
    if (x.body === null) {
      // RFC 9110, section 8.6: methods that go with a body say so when there is none.
      return x.method === "POST" || x.method === "PUT" || x.method === "PATCH" ? "Content-Length: 0\r\n" : "";
    }
    if (x.body.length >= 0) return `Content-Length: ${x.body.length}\r\n`;
    this.chunked = true;
    return "Transfer-Encoding: chunked\r\n";
  }
}

function isPlain(x: Exchange): boolean {
  return x.body === null && !x.tunnel && !x.absoluteForm;
}

function target(x: Exchange): string {
  if (x.method === "CONNECT") return x.authority;
  if (!x.absoluteForm) return x.path;
  return `${x.scheme}://${x.authority}${x.path === "*" ? "" : x.path}`;
}
