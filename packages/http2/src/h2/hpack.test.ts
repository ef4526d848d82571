import { describe, expect, it } from "vitest";
import { noHeaders } from "../exchange.js";
import { HpackDecoder } from "./hpack-decoder.js";
import { HpackEncoder } from "./hpack-encoder.js";
import { huffmanDecode, huffmanEncode, huffmanLength, huffmanOutput } from "./huffman.js";

class Fields {
  list: string[] = [];
  field(name: { text: string }, value: string): void {
    this.list.push(name.text, value);
  }
}

function decode(decoder: HpackDecoder, hex: string): string[] | null {
  const bytes = Buffer.from(hex.replaceAll(" ", ""), "hex");
  const fields = new Fields();
  return decoder.decode(bytes, 0, bytes.length, fields) ? fields.list : null;
}

const buffer = Buffer.alloc(65_536);

function encode(encoder: HpackEncoder, ...fields: string[]): Buffer {
  encoder.begin(buffer, 0);
  for (let at = 0; at < fields.length; at += 2) encoder.field(fields[at]!, fields[at + 1]!);
  encoder.end();
  return Buffer.from(buffer.subarray(0, encoder.at));
}

describe("the decoder", () => {
  it("reads the requests of RFC 7541, C.3, without Huffman", () => {
    const decoder = new HpackDecoder(4096);
    const first = [":method", "GET", ":scheme", "http", ":path", "/", ":authority", "www.example.com"];
    expect(decode(decoder, "8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d")).toEqual(first);
    expect(decode(decoder, "8286 84be 5808 6e6f 2d63 6163 6865")).toEqual([...first, "cache-control", "no-cache"]);
    expect(decode(decoder, "8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65")).toEqual([
      ":method",
      "GET",
      ":scheme",
      "https",
      ":path",
      "/index.html",
      ":authority",
      "www.example.com",
      "custom-key",
      "custom-value",
    ]);
    expect(decoder.entries).toBe(3);
  });

  it("reads the requests of RFC 7541, C.4, with Huffman", () => {
    const decoder = new HpackDecoder(4096);
    expect(decode(decoder, "8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff")).toContain("www.example.com");
    expect(decode(decoder, "8286 84be 5886 a8eb 1064 9cbf")).toContain("no-cache");
    expect(decode(decoder, "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf")).toContain("custom-value");
  });

  it("evicts as RFC 7541, C.5, does", () => {
    const decoder = new HpackDecoder(4096);
    const size = "3fe1 01"; // 256
    decode(
      decoder,
      `${size} 4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3120 474d 546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 6c65 2e63 6f6d`,
    );
    expect(decoder.entries).toBe(4);
    expect(decode(decoder, "4803 3330 37c1 c0bf")).toEqual([
      ":status",
      "307",
      "cache-control",
      "private",
      "date",
      "Mon, 21 Oct 2013 20:13:21 GMT",
      "location",
      "https://www.example.com",
    ]);
    expect(decoder.entries).toBe(4);
  });

  it("keeps its table in step through a size of zero and back", () => {
    const decoder = new HpackDecoder(4096);
    decode(decoder, "40 01 61 01 62");
    expect(decode(decoder, "20 3fe1 1f be")).toBeNull();
    expect(decoder.entries).toBe(0);
  });
});

describe("the encoder", () => {
  it("agrees with the decoder, table and all", () => {
    const encoder = new HpackEncoder();
    const decoder = new HpackDecoder(4096);
    for (let round = 0; round < 300; round += 1) {
      const fields = [":method", "GET", "x-same", "always", "x-three", String(round % 3), "x-new", `value ${round}`];
      expect(decode(decoder, encode(encoder, ...fields).toString("hex"))).toEqual(fields);
      expect(encoder.entries).toBe(decoder.entries);
    }
  });

  it("keeps what is in the tables while they grow", () => {
    const encoder = new HpackEncoder();
    const decoder = new HpackDecoder(4096);
    const fields = Array.from({ length: 100 }, (_, i) => [`x-${i}`, String(i)]).flat();
    for (let round = 0; round < 3; round += 1) {
      const bytes = encode(encoder, ...fields);
      expect(decode(decoder, bytes.toString("hex"))).toEqual(fields);
      expect([encoder.entries, decoder.entries]).toEqual([100, 100]);
    }
    expect(encode(encoder, "x-0", "0", "x-99", "99").length).toBe(3);
  });

  it("writes what repeats in a byte each", () => {
    const encoder = new HpackEncoder();
    const fields = [":method", "POST", "user-agent", "curl", "x-tenant", "acme"];
    const first = encode(encoder, ...fields);
    expect(first.length).toBeGreaterThan(12);
    expect(encode(encoder, ...fields).length).toBe(3);
  });

  it.each(["x-request-id", "traceparent", "content-length", "date", ":path", "authorization", "cookie"])(
    "never indexes %s",
    (name) => {
      const encoder = new HpackEncoder();
      for (let round = 0; round < 50; round += 1) encode(encoder, name, `${round}`);
      encode(encoder, name, "again");
      encode(encoder, name, "again");
      expect(encoder.entries).toBe(0);
    },
  );

  it("stops indexing a name whose values turn out to be unique, and keeps those that repeat", () => {
    const encoder = new HpackEncoder();
    for (let round = 0; round < 10_000; round += 1) encode(encoder, "x-unique", `id-${round}`, "x-same", "always");
    expect(encoder.entries).toBeLessThan(12);
    expect(encode(encoder, "x-same", "always").length).toBe(1);
  });

  it("stays bounded whatever names it is given", () => {
    const encoder = new HpackEncoder();
    for (let round = 0; round < 20_000; round += 1) encode(encoder, `x-${round}`, `v-${round}`);
    expect(encoder.names).toBeLessThanOrEqual(512);
    expect(encoder.entries).toBeLessThanOrEqual(128);
  });

  it("repeats a list from memory only while the table is the same", () => {
    const encoder = new HpackEncoder();
    const decoder = new HpackDecoder(4096);
    const write = (list: string[]): string[] | null => {
      encoder.begin(buffer, 0);
      encoder.headers(list, true);
      encoder.end();
      return decode(decoder, buffer.toString("hex", 0, encoder.at));
    };
    const list = ["x-a", "1", "date", "now", "x-b", "2"];
    for (let round = 0; round < 400; round += 1) {
      expect(write([...list])).toEqual(list);
      if (round % 5 === 0) expect(write(["x-c", String(round % 80)])).toEqual(["x-c", String(round % 80)]);
      if (round % 50 === 0) encoder.setPeerLimit(round % 100 === 0 ? 100 : 4096);
    }
  });

  it("marks credentials as never to be indexed", () => {
    expect(encode(new HpackEncoder(), "authorization", "Bearer x")[0]! & 0xf0).toBe(0x10);
  });

  it("announces a smaller table, and a larger one after it", () => {
    const encoder = new HpackEncoder();
    encode(encoder, "x-a", "1");
    encoder.setPeerLimit(0);
    encoder.setPeerLimit(4096);
    expect(encode(encoder, ":method", "GET").toString("hex")).toBe("203fe11f82");
    expect(encoder.entries).toBe(0);
  });

  it("starts both tables afresh after a block that could not be sent", () => {
    const encoder = new HpackEncoder();
    const decoder = new HpackDecoder(4096);
    decode(decoder, encode(encoder, "x-a", "1").toString("hex"));
    encode(encoder, "x-b", "2", "x-c", "bad\n");
    expect(encoder.fault).not.toBeNull();
    const fields = ["x-a", "1", "x-b", "2"];
    expect(decode(decoder, encode(encoder, ...fields).toString("hex"))).toEqual(fields);
    expect(decode(decoder, encode(encoder, ...fields).toString("hex"))).toEqual(fields);
    expect(encoder.entries).toBe(decoder.entries);
  });

  it("leaves out what has no place in HTTP/2", () => {
    const encoder = new HpackEncoder();
    encoder.begin(buffer, 0);
    encoder.headers(
      ["connection", "x", "upgrade", "y", "transfer-encoding", "chunked", "host", "h", "te", "gzip"],
      false,
    );
    encoder.headers(noHeaders, false);
    expect(encoder.at).toBe(0);
    encoder.headers(["te", "trailers", "host", "h"], true);
    expect(encoder.at).toBeGreaterThan(0);
  });
});

describe("Huffman coding", () => {
  it("is undone by decoding, for every byte", () => {
    const text = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte)).toString("latin1");
    const bytes = Buffer.alloc(2_000);
    const end = huffmanEncode(text, bytes, 0);
    expect(end).toBe(huffmanLength(text));
    const length = huffmanDecode(bytes, 0, end);
    expect(huffmanOutput().toString("latin1", 0, length)).toBe(text);
  });

  it.each([
    ["eight bits of padding", "ff"],
    ["a padding of zeroes", "00"],
    ["EOS", "ffffffff"],
  ])("refuses %s", (_name, hex) => {
    const bytes = Buffer.from(hex, "hex");
    expect(huffmanDecode(bytes, 0, bytes.length)).toBe(-1);
  });
});
