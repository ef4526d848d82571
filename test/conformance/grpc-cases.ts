import { Metadata } from "@grpc/grpc-js";
import { expect } from "vitest";
import type { Ask } from "./grpc-app.js";
import { type GrpcCall, type GrpcOutcome, grpcCall } from "./grpc-call.js";
import type { RunningGrpcCell } from "./grpc-cells.js";

/** One behaviour, the same in every cell: `run` gives what was seen, `outcome` is what it has to be. */
export interface GrpcCase {
  readonly name: string;
  run(running: RunningGrpcCell, key: string): Promise<unknown>;
  readonly outcome: unknown;
}

const call = ({ clientFor }: RunningGrpcCell, one: GrpcCall, authority = "app.test") =>
  grpcCall(clientFor(authority), one);
const ok = (messages: unknown[], more: Partial<GrpcOutcome> = {}): GrpcOutcome => ({
  code: "OK",
  details: expect.any(String) as string,
  head: {},
  messages,
  trailers: {},
  ...more,
});
const failed = (code: string, details: string | RegExp): unknown =>
  expect.objectContaining({
    code,
    messages: [],
    details: typeof details === "string" ? details : expect.stringMatching(details),
  });
const bigger = { "grpc.max_receive_message_length": 8 << 20 };
const echoed = { "x-head": ["h"], "x-head-bin": ["0102fe"] };
const trailed = { "x-trail": ["one"], "x-trail-bin": [Buffer.from("tr\0il").toString("hex")] };
const texts = (count: number, size = 1): Ask[] =>
  Array.from({ length: count }, (_, i) => ({ text: `${i}`.padEnd(size, "x") }));

function until(condition: () => boolean): Promise<void> {
  return new Promise((resolve) => {
    const look = () => (condition() ? resolve() : setTimeout(look, 1));
    look();
  });
}

function metadataOf(...pairs: [string, string | Buffer][]): Metadata {
  const metadata = new Metadata();
  for (const [name, value] of pairs) metadata.add(name, value);
  return metadata;
}

export const grpcCases: readonly GrpcCase[] = [
  {
    name: "unary, with metadata before and after it",
    run: (running) => call(running, { asks: [{ text: "hello" }] }),
    outcome: ok([{ name: "echo", length: 5, text: "hello" }], { head: echoed, trailers: trailed }),
  },
  {
    name: "a status other than OK, its message in UTF-8 and its metadata",
    run: (running) => call(running, { asks: [{ do: "fail" }] }),
    outcome: {
      code: "NOT_FOUND",
      details: "nö: 100%/",
      head: {},
      messages: [],
      trailers: { "x-detail": ["why"], "x-detail-bin": ["00ff"] },
    },
  },
  {
    name: "request metadata arrives, repeated and binary; what claims an identity does not",
    run: (running) =>
      call(running, {
        asks: [{ do: "metadata" }],
        metadata: metadataOf(
          ["x-one", "1"],
          ["x-two", "a"],
          ["x-two", "b"],
          ["x-raw-bin", Buffer.from([0, 1, 255])],
          ["x-forwarded-client-cert", "URI=spiffe://dev.selvage/ns/test/sa/admin"],
          ["l5d-anything", "1"],
        ),
      }),
    outcome: ok([{ "x-one": ["1"], "x-raw-bin": ["0001ff"], "x-two": ["a, b"] }]),
  },
  {
    name: "the handler learns who calls, and a forged claim changes nothing",
    run: async (running) => {
      const forged = metadataOf(["l5d-client-id", "spiffe://dev.selvage/ns/test/sa/admin"]);
      const { messages } = await call(running, { asks: [{ do: "peer" }], metadata: forged });
      return messages[0] === running.clientId;
    },
    outcome: true,
  },
  {
    name: "a request of 3 MB",
    run: (running) => call(running, { asks: [{ text: "y".repeat(3_000_000) }] }),
    outcome: ok([{ name: "echo", length: 3_000_000, text: "yyyyyyyyyy" }], { head: echoed, trailers: trailed }),
  },
  {
    name: "a response of 3 MB",
    run: async (running) => {
      const { code, messages } = await call(running, { asks: [{ do: "large", n: 3_000_000 }] });
      return [code, messages.map((text) => (text as string).length)];
    },
    outcome: ["OK", [3_000_000]],
  },
  {
    name: "a response beyond the caller's limit is RESOURCE_EXHAUSTED; with a higher limit it comes",
    run: async ({ clientFor }) => {
      const large = { asks: [{ do: "large", n: 5_000_000 }] } as const;
      const refused = await grpcCall(clientFor("app.test"), large);
      const { code, messages } = await grpcCall(clientFor("app.test", bigger), large);
      return [refused.code, code, (messages[0] as string).length];
    },
    outcome: ["RESOURCE_EXHAUSTED", "OK", 5_000_000],
  },
  {
    name: "server streaming, with trailers",
    run: (running) => call(running, { method: "down", asks: [{ n: 3, text: "x" }] }),
    outcome: ok(["0 x", "1 x", "2 x"], { trailers: { "x-count": ["3"] } }),
  },
  {
    name: "server streaming of 2000 messages, 4 MB",
    run: async (running) => {
      const { code, messages } = await call(running, { method: "down", asks: [{ n: 2000, text: "z".repeat(2000) }] });
      return [code, messages.length, messages.every((text, i) => (text as string).startsWith(`${i} z`))];
    },
    outcome: ["OK", 2000, true],
  },
  {
    name: "server streaming of nothing",
    run: (running) => call(running, { method: "down", asks: [{ n: 0 }] }),
    outcome: ok([], { trailers: { "x-count": ["0"] } }),
  },
  {
    name: "client streaming of 1000 messages, 1 MB",
    run: (running) => call(running, { method: "up", asks: texts(1000, 1000) }),
    outcome: ok([{ count: 1000, bytes: 1_000_000 }]),
  },
  {
    name: "client streaming that the server ends early",
    run: (running) => call(running, { method: "up", asks: [...texts(3), { do: "fail" }, ...texts(3)] }),
    outcome: failed("FAILED_PRECONDITION", "enough"),
  },
  {
    name: "streaming both ways",
    run: (running) => call(running, { method: "both", asks: texts(100) }),
    outcome: ok(texts(100).map(({ text }) => `re: ${text}`)),
  },
  {
    name: "streaming both ways, with an error at the end",
    run: async (running) => {
      const { code, details, messages } = await call(running, { method: "both", asks: [...texts(2), { do: "fail" }] });
      return { code, details, messages };
    },
    outcome: { code: "ABORTED", details: "no more", messages: ["re: 0", "re: 1"] },
  },
  {
    name: "a method that the server does not have",
    run: (running) => call(running, { method: "missing" }),
    outcome: failed("UNIMPLEMENTED", /Missing/),
  },
  {
    name: "refused by policy: PERMISSION_DENIED with the reason, and no handler is called",
    run: async (running, key) => [
      await call(running, { method: "forbidden", asks: [{ key }] }),
      running.log.hits.has(key),
    ],
    outcome: [failed("PERMISSION_DENIED", /rule "closed"/), false],
  },
  {
    name: "policy for a whole service",
    run: (running) => call(running, { method: "secret" }),
    outcome: failed("PERMISSION_DENIED", /rule "closed"/),
  },
  {
    name: "a service that nobody has: UNAVAILABLE with the reason",
    run: (running) => call(running, {}, "nobody.test"),
    outcome: failed("UNAVAILABLE", /nobody\.test/),
  },
  {
    name: "a service that nobody serves: UNAVAILABLE with the reason",
    run: (running) => call(running, {}, "gone.test"),
    outcome: failed("UNAVAILABLE", /gone\.test|127\.0\.0\.1:1/),
  },
  {
    name: "a service that is not who it has to be: UNAVAILABLE with the reason, and no handler is called",
    run: async (running, key) => [await call(running, { asks: [{ key }] }, "impostor.test"), running.log.hits.has(key)],
    outcome: [failed("UNAVAILABLE", /somebody-else/), false],
  },
  {
    name: "the caller's deadline: DEADLINE_EXCEEDED in time, and the handler hears of it",
    run: async (running, key) => {
      const cancelled = running.log.cancelOf(key);
      const started = performance.now();
      const { code } = await call(running, { asks: [{ do: "hang", key }], options: { deadline: Date.now() + 300 } });
      const took = performance.now() - started;
      await cancelled;
      return [code, took > 250 && took < 1000];
    },
    outcome: ["DEADLINE_EXCEEDED", true],
  },
  {
    name: "the timeout of a route: DEADLINE_EXCEEDED with the reason, and the handler hears of it",
    run: async (running, key) => {
      const cancelled = running.log.cancelOf(key);
      const { code, details } = await call(running, { asks: [{ do: "hang", key }] }, "hasty.test");
      await cancelled;
      // The callee is told of the deadline, and its grpc-js may be the first to say so.
      const said = details.replace("Deadline exceeded", "within 300 ms (attempt 1)").replace(/^.*(?=within)/, "");
      return { code, details: said };
    },
    outcome: { code: "DEADLINE_EXCEEDED", details: expect.stringMatching(/300 ms/) },
  },
  {
    name: "the timeout of a route within a stream: DEADLINE_EXCEEDED after what has come",
    run: async (running) => {
      const asks: Ask[] = [...texts(1), { do: "hang" }];
      const { code, messages } = await call(running, { method: "both", asks }, "hasty.test");
      return { code, messages };
    },
    outcome: { code: "DEADLINE_EXCEEDED", messages: ["re: 0"] },
  },
  {
    name: "the handler sees the deadline: the caller's or the route's, whichever is first",
    run: async (running) => {
      const asks = [{ do: "deadline" }] as const;
      const seen: unknown[] = [];
      for (const [authority, deadlineMs] of [
        ["app.test", 0],
        ["app.test", 20_000],
        ["patient.test", 0],
        ["patient.test", 20_000],
        ["patient.test", 60_000],
      ] as const) {
        const options = deadlineMs === 0 ? {} : { deadline: Date.now() + deadlineMs };
        seen.push((await call(running, { asks, options }, authority)).messages[0]);
      }
      return seen;
    },
    outcome: ["none", 20, 30, 20, 30],
  },
  {
    name: "the caller cancels: CANCELLED, and the handler hears of it",
    run: async (running, key) => {
      const cancelled = running.log.cancelOf(key);
      const cancel = until(() => running.log.hits.has(key));
      const { code } = await call(running, { asks: [{ do: "hang", key }], cancel });
      await cancelled;
      return code;
    },
    outcome: "CANCELLED",
  },
  {
    name: "the caller cancels within a stream: CANCELLED, and the handler hears of it",
    run: async (running, key) => {
      const cancelled = running.log.cancelOf(key);
      const asks = [{ key, n: 1_000_000, text: "z".repeat(1000) }];
      const { code } = await call(running, { method: "down", asks, cancelAfter: 10 });
      await cancelled;
      return code;
    },
    outcome: "CANCELLED",
  },
  {
    name: "an endpoint that is not there: what was not sent is tried elsewhere",
    run: async ({ clientFor }) => {
      const client = clientFor("half.test");
      const outcomes: GrpcOutcome[] = [];
      for (let i = 0; i < 20; i++) outcomes.push(await grpcCall(client, { asks: [{ do: "who" }] }));
      return [...new Set(outcomes.map(({ code, messages }) => `${code} ${messages}`))];
    },
    outcome: ["OK b"],
  },
  {
    name: "UNAVAILABLE from the server is tried again if the route says so",
    run: (running, key) => call(running, { asks: [{ do: "flaky", key }] }, "stubborn.test"),
    outcome: ok(["attempt 2"]),
  },
  {
    name: "and not otherwise",
    run: (running, key) => call(running, { asks: [{ do: "flaky", key }] }),
    outcome: failed("UNAVAILABLE", "not yet"),
  },
  {
    name: "calls of one client go to both endpoints",
    run: async ({ clientFor }) => {
      const client = clientFor("pair.test");
      const outcomes: GrpcOutcome[] = [];
      for (let i = 0; i < 10; i++) {
        outcomes.push(
          ...(await Promise.all(Array.from({ length: 10 }, () => grpcCall(client, { asks: [{ do: "who" }] })))),
        );
      }
      const count = (name: string) => outcomes.filter(({ messages }) => messages[0] === name).length;
      return [outcomes.every(({ code }) => code === "OK"), count("a") > 20, count("b") > 20];
    },
    outcome: [true, true, true],
  },
  {
    name: "200 calls at once",
    run: async ({ clientFor }) => {
      const client = clientFor("app.test");
      const all = await Promise.all(texts(200).map((ask) => grpcCall(client, { asks: [ask] })));
      return all.filter(({ code }) => code === "OK").length;
    },
    outcome: 200,
  },
];
