import { expect, test } from "vitest";
import { classifyFirstBytes, maxDetectBytes } from "./first-bytes.js";

const classify = (text: string) => classifyFirstBytes(Buffer.from(text, "latin1"));

test.each([
  ["\x16\x03\x01\x02\x00", "tls"],
  ["PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "http/2"],
  ["GET / HTTP/1.1\r\n", "http/1"],
  ["POST http://a/ HTTP/1.1\r\n", "http/1"],
  ["OPTIONS * HTTP/1.1\r\n", "http/1"],
  ["CONNECT a:1 HTTP/1.1\r\n", "http/1"],
  ["PROPFIND /dav HTTP/1.1\r\n", "http/1"],
  ["GET / HTTP/3.0\r\n", "http/1"],
  ["\r\nGET / HTTP/1.1\r\n", "http/1"],
  ["PRI * HTTP/1.1\r\n", "http/1"],
  ["SSH-2.0-OpenSSH_9.2 Debian\r\n", "opaque"],
  ["EHLO mail.example\r\n", "opaque"],
  ["PING\r\n", "opaque"],
  ["*1\r\n$4\r\nPING\r\n", "opaque"],
  ["get key another\r\n", "opaque"],
  ["GET\t/ HTTP/1.1\r\n", "opaque"],
  ["GET  / HTTP/1.1\r\n", "opaque"],
  ["\x16\x02\x00", "opaque"],
  ["\x00\x00\x00\x08\x04\xd2\x16\x2f", "opaque"],
  ["", "more"],
  ["\x16", "more"],
  ["P", "more"],
  ["PRI * HTTP/2.", "more"],
  ["GET ", "more"],
  ["PROPFIND /dav HTTP/1.1", "more"],
])("%j is %s", (text, expected) => {
  expect(classify(text)).toBe(expected);
});

test.each(["PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "GET /a HTTP/1.1\r\n", "PURGE /a HTTP/1.1\r\n", "\x16\x03\x03"])(
  "%j is never decided otherwise on the way",
  (text) => {
    const final = classify(text);
    for (let i = 1; i <= text.length; i++) expect(["more", final]).toContain(classify(text.slice(0, i)));
  },
);

test("what stays undecided is opaque in the end", () => {
  expect(classify("X".repeat(maxDetectBytes + 1))).toBe("opaque");
  expect(classify(`PURGE /${"a".repeat(maxDetectBytes)}`)).toBe("opaque");
});
