import {
  Metadata,
  type MetadataValue,
  Server,
  type ServerDuplexStream,
  type ServerReadableStream,
  type ServerUnaryCall,
  type ServerWritableStream,
  type ServiceDefinition,
  type sendUnaryData,
  status,
} from "@grpc/grpc-js";

/** A request: what the server is to do, and with what. */
export interface Ask {
  readonly do?: "echo" | "fail" | "flaky" | "large" | "hang" | "who" | "metadata" | "peer" | "deadline";
  readonly key?: string;
  readonly n?: number;
  readonly text?: string;
}

const json = {
  requestSerialize: (value: Ask) => Buffer.from(JSON.stringify(value)),
  requestDeserialize: (bytes: Buffer) => JSON.parse(bytes.toString()) as Ask,
  responseSerialize: (value: unknown) => Buffer.from(JSON.stringify(value)),
  responseDeserialize: (bytes: Buffer) => JSON.parse(bytes.toString()) as unknown,
};

/** A service without protobuf: messages are JSON. */
export const definition = {
  unary: { path: "/test.Conformance/Unary", requestStream: false, responseStream: false, ...json },
  forbidden: { path: "/test.Conformance/Forbidden", requestStream: false, responseStream: false, ...json },
  secret: { path: "/test.Secrets/Read", requestStream: false, responseStream: false, ...json },
  missing: { path: "/test.Conformance/Missing", requestStream: false, responseStream: false, ...json },
  down: { path: "/test.Conformance/Down", requestStream: false, responseStream: true, ...json },
  up: { path: "/test.Conformance/Up", requestStream: true, responseStream: false, ...json },
  both: { path: "/test.Conformance/Both", requestStream: true, responseStream: true, ...json },
} satisfies ServiceDefinition;

type Unary = ServerUnaryCall<Ask, unknown>;

/** What the servers of a cell remember. */
export class GrpcLog {
  readonly hits = new Map<string, number>();
  readonly #cancelled = new Map<string, () => void>();

  /** Resolves when a handler hears that the caller of that key is gone. */
  cancelOf(key: string): Promise<void> {
    return new Promise((resolve) => this.#cancelled.set(key, resolve));
  }

  watch(call: { on(event: "cancelled", listener: () => void): unknown }, key = ""): void {
    this.hits.set(key, (this.hits.get(key) ?? 0) + 1);
    call.on("cancelled", () => this.#cancelled.get(key)?.());
  }
}

/** Metadata as data, without what frames a call or differs from run to run. */
export function shown(metadata: Metadata | undefined): Record<string, string[]> {
  const found: Record<string, string[]> = {};
  for (const name of Object.keys(metadata?.getMap() ?? {}).sort()) {
    if (/^(content-type|date|te|user-agent|grpc-accept-encoding|accept-encoding|l5d-client-.*)$/.test(name)) continue;
    found[name] = metadata!
      .get(name)
      .map((value: MetadataValue) => (Buffer.isBuffer(value) ? value.toString("hex") : value));
  }
  return found;
}

/** The one grpc-js server behind every cell. `peerOf` is how a handler learns who calls. */
export function grpcApp(name: string, log: GrpcLog, peerOf: (call: Unary) => string | null): Server {
  const server = new Server({ "grpc.max_receive_message_length": 8 << 20 });
  const { missing: _, secret: __, ...served } = definition;
  server.addService(served, {
    unary: (call: Unary, callback: sendUnaryData<unknown>) => {
      const { do: what = "echo", key, n = 0, text = "" } = call.request;
      log.watch(call, key);
      switch (what) {
        case "hang":
          return;
        case "fail": {
          const metadata = new Metadata();
          metadata.set("x-detail-bin", Buffer.from([0, 255]));
          metadata.set("x-detail", "why");
          return callback({ code: status.NOT_FOUND, details: "nö: 100%/", metadata });
        }
        case "flaky":
          if (log.hits.get(key ?? "") === 1) return callback({ code: status.UNAVAILABLE, details: "not yet" });
          return callback(null, `attempt ${log.hits.get(key ?? "")}`);
        case "large":
          return callback(null, "x".repeat(n));
        case "who":
          return callback(null, name);
        case "peer":
          return callback(null, peerOf(call));
        case "metadata":
          return callback(null, shown(call.metadata));
        case "deadline": {
          const deadline = call.getDeadline();
          return callback(
            null,
            deadline === Number.POSITIVE_INFINITY ? "none" : Math.ceil((Number(deadline) - Date.now()) / 1000),
          );
        }
        default: {
          const head = new Metadata();
          head.set("x-head", "h");
          head.set("x-head-bin", Buffer.from([1, 2, 254]));
          call.sendMetadata(head);
          const trailers = new Metadata();
          trailers.add("x-trail", "one");
          trailers.set("x-trail-bin", Buffer.from("tr\0il"));
          callback(null, { name: "echo", length: text.length, text: text.slice(0, 10) }, trailers);
        }
      }
    },
    forbidden: (call: Unary, callback: sendUnaryData<unknown>) => {
      log.watch(call, call.request.key);
      callback(null, "reached");
    },
    down: (call: ServerWritableStream<Ask, unknown>) => {
      const { key, n = 0, text } = call.request;
      log.watch(call, key);
      let i = 0;
      const pump = (): void => {
        while (i < n) {
          if (!call.write(`${i++} ${text ?? ""}`)) {
            call.once("drain", pump);
            return;
          }
        }
        const trailers = new Metadata();
        trailers.set("x-count", String(n));
        call.end(trailers);
      };
      pump();
    },
    up: (call: ServerReadableStream<Ask, unknown>, callback: sendUnaryData<unknown>) => {
      let count = 0;
      let bytes = 0;
      call.on("data", (ask: Ask) => {
        count++;
        bytes += ask.text?.length ?? 0;
        if (ask.do === "fail") callback({ code: status.FAILED_PRECONDITION, details: "enough" });
      });
      call.on("end", () => callback(null, { count, bytes }));
    },
    both: (call: ServerDuplexStream<Ask, unknown>) => {
      let hangs = false;
      call.on("data", (ask: Ask) => {
        if (ask.do === "fail") call.emit("error", { code: status.ABORTED, details: "no more" });
        else if (ask.do === "hang") hangs = true;
        else call.write(`re: ${ask.text}`);
      });
      call.on("end", () => {
        if (!hangs) call.end();
      });
    },
  });
  return server;
}
