import type { AddressInfo } from "node:net";
import type { MeshOptions } from "@selvage/core/spi";
import { EndpointClient, MeshRuntime, tcpConnect } from "@selvage/core/spi";
import { createOutboundPort } from "./outbound-port.js";

export interface ShimOptions {
  /** Over `selvage.yaml` and `SELVAGE_*`. */
  readonly options?: MeshOptions;
  /** Path of the configuration. @defaultValue `selvage.yaml` in the working directory, if there is one */
  readonly file?: string;
  /** Serve what others send; `false` for programs that only call. @defaultValue true */
  readonly inbound?: boolean;
  /** Say to the local registry that the app can be reached, as soon as the shim listens. @defaultValue true */
  readonly announce?: boolean;
}

/** A running shim. */
export interface Shim {
  readonly runtime: MeshRuntime;
  /** For the app's HTTP clients: `http://127.0.0.1:PORT`. */
  readonly outboundUrl: string;
  /** Where the mesh port listens; null without one. */
  readonly inboundAddress: AddressInfo | null;
  /** Tells others that the app can be reached. */
  announce(): void;
  /** Takes nothing new from others and finishes what is in flight, while the app can still call out. */
  drainInbound(): Promise<void>;
  /** Drains what is left and ends. */
  close(): Promise<void>;
}

/** The mesh in a process of its own: core's two stacks between a loopback listener, the mesh port, and the app. */
export async function startShim({ options, file, inbound = true, announce = true }: ShimOptions): Promise<Shim> {
  const runtime = await MeshRuntime.start({ ...(options && { options }), ...(file !== undefined && { file }) });
  const { config } = runtime;

  const outbound = createOutboundPort(runtime);
  const listening = await runtime.listen(outbound, "127.0.0.1", config.outbound.port, "outbound.port");

  const app = new EndpointClient(tcpConnect({ ...config.inbound.app, timeoutMs: 300, lent: true }), {
    protocol: config.inbound.appProtocol,
    // gRPC servers end connections whose clients send PINGs more often than every 5 minutes, and loopback needs none.
    http2: { keepAliveIntervalMs: 0 },
  });
  const port = inbound ? await runtime.openPort(app) : null;
  if (announce) port?.announce();

  const drainInbound = async () => {
    await runtime.drainInbound();
    // Nothing is sent to the app any more. Servers of node:http2 wait for their connections to end before they do.
    void app.close();
  };

  return {
    runtime,
    inboundAddress: port?.address ?? null,
    outboundUrl: `http://127.0.0.1:${listening.port}`,
    announce: () => port?.announce(),
    drainInbound,
    async close() {
      await drainInbound();
      await outbound.close(runtime.drainLeftMs);
      await app.close();
      await runtime.close();
    },
  };
}
