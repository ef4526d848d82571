import type { Server, ServerWritableStream } from "@grpc/grpc-js";
import type { IdentitySnapshot } from "../identity-source.js";
import { readCertificatesPem } from "../pem.js";
import { writeBytes } from "../protobuf.js";
import { fetchX509SvidPath, securityHeader } from "../workload-api.js";

type Stream = ServerWritableStream<unknown, Buffer>;

/** An agent of the SPIFFE Workload API, for tests. */
export interface FakeAgent {
  /** What to set as `SPIFFE_ENDPOINT_SOCKET`. */
  readonly address: string;
  /** Streams opened since the start. */
  readonly opened: number;
  /**
   * Sends this state to all open streams, and to later ones as their first message, each SVID with its hint, if it has one. Bytes are
   * sent as they are.
   */
  push(state: readonly IdentitySnapshot[] | Uint8Array, hints?: readonly string[]): void;
  /** Ends all open streams with a gRPC status, and later ones until the next push. */
  refuse(status: number): void;
  close(): Promise<void>;
}

/** Starts a fake agent on a Unix socket. */
export async function startFakeAgent(socketPath: string): Promise<FakeAgent> {
  const grpc = await import("@grpc/grpc-js");
  const streams = new Set<Stream>();
  let message: Buffer | null = null;
  let status: number | null = null;
  let opened = 0;
  const end = (stream: Stream, code: number) => {
    const error = { code, details: "refused by the test" };
    stream.emit("error", error);
  };
  const server: Server = new grpc.Server();
  server.register(
    fetchX509SvidPath,
    (stream: Stream) => {
      opened++;
      if (stream.metadata.get(securityHeader)[0] !== "true") {
        end(stream, grpc.status.INVALID_ARGUMENT);
        return;
      }
      if (status !== null) {
        end(stream, status);
        return;
      }
      streams.add(stream);
      stream.on("close", () => streams.delete(stream));
      stream.on("cancelled", () => streams.delete(stream));
      if (message !== null) stream.write(message);
    },
    (value: Buffer) => value,
    () => ({}),
    "serverStream",
  );
  await new Promise<void>((resolve, reject) => {
    const credentials = grpc.ServerCredentials.createInsecure();
    server.bindAsync(`unix://${socketPath}`, credentials, (error) => (error ? reject(error) : resolve()));
  });
  return {
    address: `unix://${socketPath}`,
    get opened() {
      return opened;
    },
    push: (state, hints) => {
      status = null;
      message = state instanceof Uint8Array ? Buffer.from(state) : writeX509SvidResponse(state, hints);
      for (const stream of streams) stream.write(message);
    },
    refuse: (code) => {
      status = code;
      for (const stream of streams) end(stream, code);
      streams.clear();
    },
    close: async () => {
      server.forceShutdown();
    },
  };
}

/** An `X509SVIDResponse` with these SVIDs; the first one's other bundles are its federated ones. */
export function writeX509SvidResponse(
  snapshots: readonly IdentitySnapshot[],
  hints: readonly (string | undefined)[] = [],
): Buffer {
  const parts = snapshots.map((snapshot, index) =>
    writeBytes(
      1,
      Buffer.concat([
        writeBytes(1, snapshot.id.toString()),
        writeBytes(2, Buffer.concat(readCertificatesPem(snapshot.chainPem))),
        writeBytes(3, snapshot.key.export({ type: "pkcs8", format: "der" })),
        writeBytes(4, Buffer.concat(snapshot.bundles.get(snapshot.id.trustDomain)!.roots)),
        ...(hints[index] === undefined ? [] : [writeBytes(5, hints[index])]),
      ]),
    ),
  );
  for (const [trustDomain, bundle] of snapshots[0]?.bundles ?? []) {
    if (trustDomain === snapshots[0]!.id.trustDomain) continue;
    parts.push(
      writeBytes(
        3,
        Buffer.concat([writeBytes(1, `spiffe://${trustDomain}`), writeBytes(2, Buffer.concat(bundle.roots))]),
      ),
    );
  }
  return Buffer.concat(parts);
}
