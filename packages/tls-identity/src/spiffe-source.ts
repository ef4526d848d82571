import type { Client, ClientReadableStream, Metadata, ServiceError } from "@grpc/grpc-js";
import { backoffMs } from "./backoff.js";
import { IdentityError } from "./identity-error.js";
import type { IdentitySource } from "./identity-source.js";
import { permanentReasons, type Schedule, SnapshotSource } from "./snapshot-source.js";
import type { SpiffeId } from "./spiffe-id.js";
import { fetchX509SvidPath, readX509SvidResponse, securityHeader, workloadApiTarget } from "./workload-api.js";

/** Options of {@link createSpiffeSource}. */
export interface SpiffeSourceOptions {
  /** Address of the agent: `unix:///path` or `tcp://ip:port`. @defaultValue `SPIFFE_ENDPOINT_SOCKET` of the environment */
  readonly socket?: string;
  /** Which SVID to take, where the agent offers several. @defaultValue the first, which is the default by specification */
  readonly id?: SpiffeId;
  /** The same by the hint that the agent gives with each, such as `internal`. With `id`, the SVID must have both. @defaultValue any */
  readonly hint?: string;
  /** Shortest wait before a stream that broke is opened again. @defaultValue 100 */
  readonly minBackoffMs?: number;
  /** Longest such wait. @defaultValue 10000 */
  readonly maxBackoffMs?: number;
  /** Milliseconds since 1970. @defaultValue `Date.now` */
  readonly now?: () => number;
  /** In [0, 1). @defaultValue `Math.random` */
  readonly random?: () => number;
  /** @defaultValue setTimeout, unreferenced */
  readonly schedule?: Schedule;
}

/** Defaults of {@link SpiffeSourceOptions}. */
export const spiffeSourceDefaults = Object.freeze({ minBackoffMs: 100, maxBackoffMs: 10_000 });

// The agent renews when it likes, at half of the lifetime as a rule, so that an SVID with a quarter left is late.
const alarmParts = [0.25, 0.1];
const invalidArgument = 3;

/**
 * An identity source that listens to an agent of the SPIFFE Workload API, such as SPIRE's, which pushes SVIDs and bundles, federated
 * ones included. Comes back with backoff when the stream ends. Where the agent calls the request itself invalid it is not
 * asked again (section 4.6).
 *
 * Loads @grpc/grpc-js when it is made, not before.
 */
export function createSpiffeSource(options: SpiffeSourceOptions = {}): IdentitySource {
  const address = options.socket ?? process.env["SPIFFE_ENDPOINT_SOCKET"];
  if (address === undefined) {
    throw new IdentityError("source-options", "no Workload API address: set identity.socket or SPIFFE_ENDPOINT_SOCKET");
  }
  return new SpiffeSource(workloadApiTarget(address), options);
}

class SpiffeSource extends SnapshotSource {
  readonly #options: SpiffeSourceOptions;
  readonly #target: string;
  #client: Client | null = null;
  #stream: ClientReadableStream<Buffer> | null = null;
  #cancelTimer: (() => void) | null = null;
  #failed = 0;

  constructor(target: string, options: SpiffeSourceOptions) {
    super({
      expected: options.id,
      now: options.now,
      schedule: options.schedule,
      permanent: permanentReasons,
      alarmParts,
    });
    this.#target = target;
    this.#options = options;
    void this.#open();
  }

  override close(): void {
    super.close();
    this.#cancelTimer?.();
    this.#stream?.cancel();
    this.#client?.close();
  }

  async #open(): Promise<void> {
    try {
      const grpc = await import("@grpc/grpc-js");
      if (this.closing.aborted) return;
      this.#client ??= new grpc.Client(this.#target, grpc.credentials.createInsecure(), {
        "grpc.keepalive_time_ms": 30_000,
        "grpc.max_reconnect_backoff_ms": this.#options.maxBackoffMs ?? spiffeSourceDefaults.maxBackoffMs,
        "grpc.use_local_subchannel_pool": 1,
        "grpc.default_authority": "localhost",
      });
      const metadata: Metadata = new grpc.Metadata();
      metadata.set(securityHeader, "true");
      const stream = this.#client.makeServerStreamRequest(
        fetchX509SvidPath,
        () => Buffer.alloc(0),
        (message: Buffer) => message,
        {},
        metadata,
      );
      this.#stream = stream;
      stream.on("data", (message: Buffer) => this.#take(message));
      stream.on("error", (error: ServiceError) => this.#broke(error));
      stream.on("end", () => this.#broke(null));
    } catch (error) {
      this.#broke(error as ServiceError);
    }
  }

  #take(message: Buffer): void {
    if (this.closing.aborted) return;
    try {
      this.offer(readX509SvidResponse(message, this.#options));
      this.#failed = 0;
    } catch (error) {
      this.fail(error);
    }
  }

  #broke(error: ServiceError | null): void {
    if (this.#stream === null && error === null) return;
    // An error is followed by an end; one of them is enough.
    this.#stream = null;
    if (this.closing.aborted || this.#cancelTimer !== null) return;
    this.#failed++;
    if (error?.code === invalidArgument) {
      this.fail(
        new IdentityError("source-options", `the agent at ${this.#target} calls the request invalid`, { cause: error }),
      );
      return;
    }
    const why = error === null ? "ended the stream" : `is of no help: ${error.message}`;
    this.fail(new IdentityError("workload-api", `the agent at ${this.#target} ${why}`, { cause: error ?? undefined }));
    const config = {
      minMs: this.#options.minBackoffMs ?? spiffeSourceDefaults.minBackoffMs,
      maxMs: this.#options.maxBackoffMs ?? spiffeSourceDefaults.maxBackoffMs,
    };
    this.#cancelTimer = this.schedule(backoffMs(this.#failed, config, (this.#options.random ?? Math.random)()), () => {
      this.#cancelTimer = null;
      void this.#open();
    });
  }
}
