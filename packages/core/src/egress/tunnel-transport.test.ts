import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { type Body, type BodySink, Exchange, type ExchangeError, tcpConnect, transportError } from "@selvage/http2";
import { afterEach, expect, test } from "vitest";
import { TunnelTransport } from "./tunnel-transport.js";

const cleanups: (() => unknown)[] = [];
afterEach(() => {
  for (const cleanup of cleanups.splice(0)) cleanup();
});

class CallerBody implements Body {
  readonly length = -1;
  sink: BodySink | null = null;
  paused = false;
  cancelled = false;
  pipe(sink: BodySink): void {
    this.sink = sink;
  }
  pause(): void {
    this.paused = true;
  }
  resume(): void {
    this.paused = false;
  }
  cancel(): void {
    this.cancelled = true;
  }
}

async function tunnel(onConnection: (socket: Socket) => void, port?: number) {
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    cleanups.push(() => socket.destroy());
    socket.on("error", () => {});
    onConnection(socket);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  cleanups.push(() => server.close());
  const connect = tcpConnect({
    host: "127.0.0.1",
    port: port ?? (server.address() as AddressInfo).port,
    timeoutMs: 1_000,
  });
  let closed = false;
  const transport = new TunnelTransport(connect, () => {
    closed = true;
  });
  const x = new Exchange();
  const body = new CallerBody();
  x.method = "CONNECT";
  x.tunnel = true;
  x.body = body;
  const events: string[] = [];
  let wake = () => {};
  const note = (event: string) => {
    events.push(event);
    wake();
  };
  transport.call(x, {
    onInformational() {},
    onHead: (status) => note(`head ${status}`),
    onData: (chunk) => note(`data ${Buffer.from(chunk)}`),
    onEnd: () => note("end"),
    onError: (error: ExchangeError) => note(`error ${error.code} ${error.progress}`),
  });
  const until = async (count: number) => {
    while (events.length < count)
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    return events;
  };
  return { x, body, transport, until, events, isClosed: () => closed };
}

test("bytes go both ways, and each direction ends by itself", async () => {
  const { body, until, transport, isClosed } = await tunnel((socket) => {
    socket.write("hello");
    socket.once("data", (chunk) => socket.end(chunk));
  });
  await until(2);
  body.sink?.onData(Buffer.from("echo"));
  expect(await until(4)).toEqual(["head 200", "data hello", "data echo", "end"]);
  expect(isClosed()).toBe(false);
  const ended = transport.end();
  body.sink?.onEnd(null);
  await ended;
  expect(isClosed()).toBe(true);
});

test("nobody there is an error of what was not sent, and the body is left for another attempt", async () => {
  const { until, body } = await tunnel(() => {}, 1);
  expect(await until(1)).toEqual(["error SELVAGE_ERR_CONNECT unsent"]);
  expect(body.cancelled).toBe(false);
});

test("a caller who gives up ends the connection, before and after it was made", async () => {
  const reason = transportError("SELVAGE_ERR_ABORTED", "enough", "caller");
  const early = await tunnel(() => {});
  early.x.flow.abort(reason);
  expect(early.events).toEqual(["error SELVAGE_ERR_ABORTED processed"]);
  let gone: Promise<unknown> | null = null;
  const late = await tunnel((socket) => {
    gone = once(socket.resume(), "close");
    socket.on("end", () => socket.end());
  });
  await late.until(1);
  late.x.flow.abort(reason);
  expect(late.events).toEqual(["head 200", "error SELVAGE_ERR_ABORTED processed"]);
  expect(late.body.cancelled).toBe(true);
  await gone;
});

test("a connection that breaks is an error, and closing waits for tunnels or cuts them", async () => {
  const broken = await tunnel((socket) => socket.once("data", () => socket.resetAndDestroy()));
  await broken.until(1);
  broken.body.sink?.onData(Buffer.from("x"));
  expect((await broken.until(2)).at(-1)).toBe("error SELVAGE_ERR_CLOSED processed");
  const cut = await tunnel(() => {});
  await cut.until(1);
  const ended = cut.transport.end();
  expect(cut.isClosed()).toBe(false);
  cut.transport.destroy();
  await ended;
  expect(cut.events.at(-1)).toBe("error SELVAGE_ERR_CLOSED processed");
});

test("a caller that is faster than the connection is held back", async () => {
  let far: Socket | null = null;
  const { body, until } = await tunnel((socket) => {
    far = socket;
    socket.pause();
  });
  await until(1);
  const chunk = Buffer.alloc(65_536);
  for (let i = 0; i < 400 && !body.paused; i++) body.sink?.onData(chunk);
  expect(body.paused).toBe(true);
  far!.resume();
  await expect.poll(() => body.paused).toBe(false);
});
