import { createHash, randomBytes } from "node:crypto";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { transportError } from "../exchange-error.js";
import { Answer, bodyOf, echo, Net, request, send, serviceOf, type Taken } from "./test-exchanges.js";

let net: Net;
beforeEach(() => {
  net = new Net();
});
afterEach(() => net.close());

function* pieces(count: number, bytes: number): Iterable<Buffer> {
  for (let index = 0; index < count; index += 1) yield Buffer.alloc(bytes, index);
}

function echoed(answer: Answer): Record<string, unknown> {
  return JSON.parse(decodeURIComponent(answer.header("x-head")!));
}

describe("a client session and a server session", () => {
  it("exchange a request without a body", async () => {
    const { session } = await net.client(await net.serve(echo));
    const answer = await send(session, request({ path: "/a?b=c", headers: ["x-one", "1", "te", "trailers"] })).done;
    expect(answer.status).toBe(200);
    expect(answer.body.length).toBe(0);
    expect(echoed(answer)).toMatchObject({
      method: "GET",
      scheme: "http",
      authority: "shop.test",
      path: "/a?b=c",
      version: "2.0",
      headers: ["x-one", "1", "te", "trailers"],
    });
  });

  it("carry a body and trailers both ways", async () => {
    const port = await net.serve(
      serviceOf((taken) => {
        taken.whenEnded = () => {
          taken.sink.onHead(200, []);
          taken.sink.onData(taken.body);
          taken.sink.onEnd(["x-sum", taken.trailers![1]!]);
        };
        taken.x.body!.pipe(taken);
      }),
    );
    const { session } = await net.client(port);
    const body = bodyOf([Buffer.from("hello "), Buffer.from("world")], -1, ["x-check", "7"]);
    const answer = await send(session, request({ method: "POST", body })).done;
    expect(answer.body.toString()).toBe("hello world");
    expect(answer.trailers).toEqual(["x-sum", "7"]);
  });

  it("carry bodies larger than every window, whole and in order", async () => {
    const { session } = await net.client(
      await net.serve(echo, { streamWindowBytes: 65_535, connectionWindowBytes: 100_000 }),
      { streamWindowBytes: 70_000, connectionWindowBytes: 65_535 },
    );
    const hashes = await Promise.all(
      [1, 2, 3].map(async () => {
        const data = randomBytes(3_000_000);
        const chunks = Array.from({ length: 30 }, (_, index) => data.subarray(index * 100_000, (index + 1) * 100_000));
        const answer = await send(session, request({ method: "POST", body: bodyOf(chunks) })).done;
        return [sha(data), sha(answer.body)];
      }),
    );
    for (const [sent, received] of hashes) expect(received).toBe(sent);
  });

  it("run more requests than may be open at once, when the client waits to be told", async () => {
    const { session, watcher } = await net.client(await net.serve(echo, { maxConcurrentStreams: 10 }));
    let started = 0;
    const answers: Promise<Answer>[] = [];
    const pump = () => {
      while (session.available > 0 && started < 500) {
        started += 1;
        answers.push(send(session, request({ path: `/${started}` })).done);
      }
    };
    const all = new Promise<void>((resolve) => {
      watcher.whenAvailable = () => {
        pump();
        if (started === 500) resolve();
      };
    });
    pump();
    expect(session.active).toBe(10);
    await all;
    const done = await Promise.all(answers);
    expect(done.every((answer) => answer.status === 200)).toBe(true);
    expect(watcher.events.at(-1)).toBe("idle");
  });

  it("refuse a call beyond the peer's limit as unsent", async () => {
    const { session } = await net.client(
      await net.serve(
        serviceOf(() => {}),
        { maxConcurrentStreams: 1 },
      ),
    );
    send(session, request());
    const answer = send(session, request());
    expect(answer.error).toMatchObject({ code: "SELVAGE_ERR_REFUSED", progress: "unsent" });
  });

  it("pass on informational heads", async () => {
    const port = await net.serve(
      serviceOf(({ sink }) => {
        sink.onInformational(103, ["link", "</a>"]);
        sink.onInformational(100, []);
        sink.onHead(204, []);
        sink.onEnd(null);
      }),
    );
    const { session } = await net.client(port);
    const answer = await send(session, request()).done;
    expect(answer.informational).toEqual([103, 100]);
    expect(answer.status).toBe(204);
  });

  it("pause a producer whose reader is paused, with bounded memory, and a neighbour goes on", async () => {
    const taken: Taken[] = [];
    const port = await net.serve(
      serviceOf((one) => {
        taken.push(one);
        if (one.x.path === "/small") {
          one.sink.onHead(200, []);
          one.sink.onEnd(null);
          return;
        }
        one.sink.onHead(200, []);
        let sent = 0;
        const run = () => {
          one.pauses = 0;
          while (one.pauses === 0 && sent < 8_000_000) {
            one.sink.onData(Buffer.alloc(10_000, 1));
            sent += 10_000;
          }
          if (sent === 8_000_000) one.sink.onEnd(null);
        };
        one.onResume = run;
        run();
      }),
    );
    const { session } = await net.client(port, { streamWindowBytes: 100_000, connectionWindowBytes: 200_000 });
    const slow = new Answer();
    const x = request({ path: "/big" });
    session.call(x, slow);
    await slow.headed;
    x.flow.pause();
    for (let index = 0; index < 50; index += 1) {
      expect((await send(session, request({ path: "/small" })).done).status).toBe(200);
    }
    expect(slow.body.length).toBeLessThan(200_000);
    x.flow.resume();
    await slow.done;
    expect(slow.body.length).toBe(8_000_000);
  });

  it("pause a request's body while the server does not take it", async () => {
    let take: Taken | null = null;
    const port = await net.serve(
      serviceOf((taken) => {
        take = taken;
        taken.whenEnded = () => {
          taken.sink.onHead(200, ["x-bytes", String(taken.body.length)]);
          taken.sink.onEnd(null);
        };
        // Nobody pipes the body yet.
        if (taken.x.path === "/ping") {
          taken.sink.onHead(200, []);
          taken.sink.onEnd(null);
        }
      }),
    );
    const { session } = await net.client(port);
    const body = bodyOf(pieces(400, 10_000));
    const upload = send(session, request({ method: "PUT", path: "/up", body }));
    const first = await waitFor(() => take);
    await send(session, request({ path: "/ping" })).done;
    await send(session, request({ path: "/ping" })).done;
    expect(body.pauses).toBeGreaterThan(0);
    expect(body.sent).toBeLessThan(1_048_576 + 65_536 + 20_000);
    first.x.body!.pipe(first);
    const answer = await upload.done;
    expect(answer.header("x-bytes")).toBe("4000000");
  });

  it("stop an upload that was answered early, and call it a success", async () => {
    const port = await net.serve(
      serviceOf((taken) => {
        taken.sink.onHead(413, ["content-length", "0"]);
        taken.sink.onEnd(null);
      }),
    );
    const { session } = await net.client(port);
    for (let round = 0; round < 50; round += 1) {
      const body = bodyOf(pieces(400, 10_000));
      const answer = await send(session, request({ method: "PUT", body })).done;
      expect(answer.status).toBe(413);
      expect(answer.error).toBeNull();
      expect(body.cancelled).toBe(true);
    }
    expect(session.active).toBe(0);
  });

  it("abort from the client reaches the server's holder, and the sink once", async () => {
    const taken: Taken[] = [];
    const { session } = await net.client(await net.serve(serviceOf((one) => taken.push(one))));
    const x = request();
    const answer = send(session, x);
    const one = await waitFor(() => taken[0]);
    const aborted = new Promise<void>((resolve) => {
      one.whenAborted = resolve;
    });
    x.flow.abort(transportError("SELVAGE_ERR_ABORTED", "enough", "caller"));
    x.flow.abort(transportError("SELVAGE_ERR_ABORTED", "again", "caller"));
    expect(answer.error?.message).toBe("enough");
    expect(answer.terminals).toBe(1);
    await aborted;
    expect(one.aborted).toMatchObject({ code: "SELVAGE_ERR_ABORTED", origin: "caller" });
  });

  it.each([
    ["unsent", "SELVAGE_ERR_REFUSED", "refused"],
    ["processed", "SELVAGE_ERR_RESET", "processed"],
  ] as const)("an error %s before the head becomes %s at the client", async (progress, code, seen) => {
    const port = await net.serve(
      serviceOf(({ sink }) => sink.onError(transportError("SELVAGE_ERR_CONNECT", "no", "peer", progress))),
    );
    const { session } = await net.client(port);
    expect((await send(session, request()).done).error).toMatchObject({ code, progress: seen });
  });

  it("open streams fail when the connection dies, on both sides", async () => {
    const taken: Taken[] = [];
    const port = await net.serve(serviceOf((one) => taken.push(one)));
    const { session, watcher } = await net.client(port);
    const answer = send(session, request());
    const one = await waitFor(() => taken[0]);
    const aborted = new Promise<void>((resolve) => {
      one.whenAborted = resolve;
    });
    session.socket.destroy();
    await aborted;
    await watcher.closed;
    expect((await answer.done).error).toMatchObject({ code: "SELVAGE_ERR_CLOSED", progress: "processed" });
    expect(watcher.events.filter((event) => event === "closed").length).toBe(1);
    await waitFor(() => (net.closedSessions === 1 ? true : null));
  });

  it("a request is unsent only when its head can't have left", async () => {
    const port = await net.serve(serviceOf(() => {}));
    const ended = await net.client(port);
    const leaves = send(ended.session, request());
    ended.session.destroy();
    expect(leaves.error).toMatchObject({ code: "SELVAGE_ERR_CLOSED", progress: "processed" });
    expect(send(ended.session, request()).error).toMatchObject({ progress: "unsent" });
    const cut = await net.client(port);
    const stays = send(cut.session, request());
    cut.session.socket.emit("error", new Error("reset"));
    expect(stays.error).toMatchObject({ code: "SELVAGE_ERR_CLOSED", progress: "unsent" });
    await cut.watcher.closed;
  });

  it("a draining server finishes what is open and takes nothing new", async () => {
    const taken: Taken[] = [];
    const port = await net.serve(serviceOf((one) => taken.push(one)));
    const { session, watcher } = await net.client(port);
    const answer = send(session, request());
    const one = await waitFor(() => taken[0]);
    net.sessions[0]!.drain();
    await waitFor(() => (session.draining ? true : null));
    expect(send(session, request()).error).toMatchObject({ progress: "unsent" });
    one.sink.onHead(200, []);
    one.sink.onEnd(null);
    expect((await answer.done).status).toBe(200);
    await watcher.closed;
    expect(watcher.error).toBeNull();
    expect(watcher.events.filter((event) => event === "draining").length).toBe(1);
    await waitFor(() => (net.closedSessions === 1 ? true : null));
  });

  it("a draining client closes after its last stream", async () => {
    const taken: Taken[] = [];
    const { session, watcher } = await net.client(await net.serve(serviceOf((one) => taken.push(one))));
    const answer = send(session, request());
    const one = await waitFor(() => taken[0]);
    session.drain();
    one.sink.onHead(200, []);
    one.sink.onData(Buffer.from("bye"));
    one.sink.onEnd(null);
    expect((await answer.done).body.toString()).toBe("bye");
    await watcher.closed;
    expect(watcher.error).toBeNull();
  });

  it("large heads cross in CONTINUATION frames, and too large ones never leave", async () => {
    const { session } = await net.client(await net.serve(echo));
    const value = "v".repeat(50_000);
    const answer = await send(session, request({ headers: ["x-large", value] })).done;
    expect(echoed(answer)).toMatchObject({ headers: ["x-large", value] });
    const more = await send(session, request({ headers: ["x-large", "v".repeat(70_000)] })).done;
    expect(more.error).toMatchObject({ code: "SELVAGE_ERR_TOO_LARGE", progress: "unsent" });
    expect((await send(session, request()).done).status).toBe(200);
  });
});

function sha(data: Buffer): string {
  return createHash("sha256").update(data).digest("hex");
}

/** Polls with the event loop, without a clock. */
async function waitFor<T>(probe: () => T | null | undefined): Promise<NonNullable<T>> {
  for (;;) {
    const value = probe();
    if (value !== null && value !== undefined) return value;
    await new Promise((resolve) => setImmediate(resolve));
  }
}
