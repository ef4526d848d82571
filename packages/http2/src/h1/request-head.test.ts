import fc from "fast-check";
import { expect, test } from "vitest";
import { type Body, Exchange } from "../exchange.js";
import { FieldWriter } from "./field-writer.js";
import { RequestHead } from "./request-head.js";

const body = (length: number): Body => ({ length, pipe() {}, pause() {}, resume() {}, cancel() {} });
const lists = [
  ["accept", "*/*"],
  ["accept", "*/*", "host", "a"],
  ["x-a", "1\n"],
  ["te", "trailers"],
];
const cases = new Map([["accept", "ACCEPT"]]);

const base = () => Object.assign(new Exchange(), { authority: "a", headers: lists[0] });

/** One thing that may be other than in the request before. */
const change: fc.Arbitrary<Partial<Exchange>> = fc.oneof(
  fc.constant({}),
  fc.record({ method: fc.constantFrom("PUT", "G T", "CONNECT") }),
  fc.record({ path: fc.constantFrom("/a", "/a b", "*") }),
  fc.record({ authority: fc.constantFrom("b", "a b") }),
  fc.record({ version: fc.constant<"1.0">("1.0") }),
  fc.record({ absoluteForm: fc.constant(true), scheme: fc.constantFrom<"http" | "https">("http", "https") }),
  fc.record({ tunnel: fc.constant(true) }),
  fc.record({ headers: fc.constantFrom(...lists) }),
  fc.record({ headerCase: fc.constant(cases) }),
  fc.record({ body: fc.constantFrom(body(3), body(-1)) }),
);

test("a head says the same whatever was written before it", () => {
  fc.assert(
    fc.property(fc.array(change, { minLength: 2, maxLength: 12 }), (sequence) => {
      const kept = new RequestHead(new FieldWriter());
      for (const parts of sequence) {
        const x = Object.assign(base(), parts);
        // Twice, so that what repeats does.
        for (let i = 0; i < 2; i++) kept.encode(x);
        const fresh = new RequestHead(new FieldWriter());
        fresh.encode(x);
        expect(kept.fault).toBe(fresh.fault);
        if (fresh.fault === null) expect([kept.text, kept.chunked]).toEqual([fresh.text, fresh.chunked]);
      }
    }),
    { numRuns: 2_000 },
  );
});
