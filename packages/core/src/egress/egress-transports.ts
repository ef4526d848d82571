import { readFileSync } from "node:fs";
import { isIP, type Socket } from "node:net";
import { createSecureContext, rootCertificates, type SecureContext, TLSSocket } from "node:tls";
import {
  type Connect,
  EndpointClient,
  type Exchange,
  type ExchangeError,
  nodeErrorCode,
  type Sink,
  tcpConnect,
  tlsConnect,
  transportError,
} from "@selvage/http2";
import type { EndpointFactory, EndpointTransport } from "../balancer/endpoint.js";
import type { EgressConfig } from "../config/config.js";
import { meshError } from "../errors.js";
import { refuse } from "../layers/refuse.js";
import { outsideRequests } from "../mesh/request-context.js";
import type { EndpointAddress } from "../resolver/resolver.js";
import { describeWire } from "../transport/endpoint-transports.js";
import type { AllowedHost } from "./egress-rules.js";
import { refusedAttribute } from "./guarded-resolver.js";
import { TunnelTransport } from "./tunnel-transport.js";

/**
 * Makes the connections of names outside the mesh: TLS as everywhere on the web (the system's roots, the name checked, HTTP/2 or
 * HTTP/1.1 by ALPN), plain HTTP/1.1, or the bare bytes of a tunnel. None of them ever shows this workload's certificate.
 */
export class EgressTransports {
  readonly #config: EgressConfig;
  readonly #onProtection: (reason: string) => void;
  readonly #open = new Set<HttpTransport | TunnelTransport>();
  #context: SecureContext | null = null;

  constructor(config: EgressConfig, onProtection: (reason: string) => void) {
    this.#config = config;
    this.#onProtection = onProtection;
    if (config.caFile !== null) this.#secureContext();
  }

  /** For the addresses of one allowed host. */
  factory(outside: AllowedHost, connectTimeoutMs: number): EndpointFactory {
    return { create: (address) => this.#create(address, outside, connectTimeoutMs) };
  }

  /** Resolves when what is in flight is done and the connections are closed. */
  async close(): Promise<void> {
    await Promise.all([...this.#open].map((transport) => transport.end()));
  }

  destroy(): void {
    for (const transport of this.#open) transport.destroy();
    this.#open.clear();
  }

  #create(address: EndpointAddress, outside: AllowedHost, timeoutMs: number): EndpointTransport {
    const reason = address.attributes?.[refusedAttribute];
    if (reason !== undefined) return new RefusedTransport(reason);
    const { host, port } = address;
    const tcp = inNoRequest(tcpConnect({ host, port, timeoutMs }));
    const onClose = (closed: HttpTransport | TunnelTransport) => this.#open.delete(closed);
    const transport =
      outside.scheme === "connect"
        ? new TunnelTransport(tcp, onClose)
        : new HttpTransport(
            this.#client(tcp, address, outside, timeoutMs),
            outside,
            !this.#config.traceContext,
            onClose,
          );
    this.#open.add(transport);
    return transport;
  }

  #client(tcp: Connect, address: EndpointAddress, outside: AllowedHost, connectTimeoutMs: number) {
    return (onOpen: (socket: Socket, protocol: "h1" | "h2") => void): EndpointClient => {
      const options = {
        connectTimeoutMs,
        listener: { onOpen: (socket: unknown, protocol: "h1" | "h2") => onOpen(socket as Socket, protocol) },
        http1: { onProtection: this.#onProtection },
        http2: { onProtection: this.#onProtection, keepAliveIntervalMs: 330_000 },
      } as const;
      if (outside.scheme === "http") return new EndpointClient(tcp, { ...options, protocol: "h1" });
      const tls = (protocols: string[]) => this.#tls(address, outside, protocols, connectTimeoutMs);
      return new EndpointClient(tls(["h2", "http/1.1"]), {
        ...options,
        protocol: "alpn",
        connectHttp1: tls(["http/1.1"]),
      });
    };
  }

  #tls(address: EndpointAddress, outside: AllowedHost, protocols: string[], timeoutMs: number): Connect {
    const { host, port } = address;
    const named = isIP(outside.host) === 0;
    const connect = tlsConnect({
      host,
      port,
      timeoutMs,
      tls: () => ({
        secureContext: this.#secureContext(),
        ALPNProtocols: protocols,
        // Said outright, so that NODE_TLS_REJECT_UNAUTHORIZED changes nothing here.
        rejectUnauthorized: true,
        // Node checks the certificate against this name, or against the address when there is none.
        ...(named && { servername: outside.host }),
      }),
    });
    return inNoRequest((callback) =>
      connect((error, socket, expiresAt) => {
        if (error === null) callback(null, socket, expiresAt);
        else callback(this.#judged(error, outside.host, `${host}:${port}`), null, expiresAt);
      }),
    );
  }

  /** Says whose certificate it is, and what to do. */
  #judged(error: ExchangeError, name: string, address: string): ExchangeError {
    if (error.code !== "SELVAGE_ERR_TLS") return error;
    const code = nodeErrorCode(error.cause);
    if (error.origin === "peer") this.#onProtection(`egress ${code}`);
    const why = reasons[code] ?? error.message;
    const text = `TLS with ${name} (${address}): ${why}${code === "" ? "" : ` (${code})`}${altNames(error.cause)}`;
    return transportError("SELVAGE_ERR_TLS", text, error.origin, error.progress, error.cause);
  }

  /** Made once, since reading all the roots takes milliseconds. */
  #secureContext(): SecureContext {
    const { caFile } = this.#config;
    this.#context ??= createSecureContext({
      minVersion: "TLSv1.2",
      // Without `ca` there are Node's roots and those of NODE_EXTRA_CA_CERTS; with it, only what is named.
      ...(caFile !== null && { ca: [...rootCertificates, ...extraRoots(), readFileSync(caFile, "utf8")] }),
    });
    return this.#context;
  }
}

function extraRoots(): string[] {
  const file = process.env["NODE_EXTRA_CA_CERTS"];
  if (file === undefined || file === "") return [];
  try {
    return [readFileSync(file, "utf8")];
  } catch {
    // Node itself has warned about it.
    return [];
  }
}

const unknownRoot =
  "its certificate leads to no root that is trusted here; if it is of a private authority, name the file of its root in outbound.egress.caFile";

const reasons: Readonly<Record<string, string>> = Object.freeze({
  CERT_HAS_EXPIRED: "its certificate, or one above it, has expired; its owner has to renew it",
  CERT_NOT_YET_VALID: "its certificate is not valid yet; check the clocks",
  ERR_TLS_CERT_ALTNAME_INVALID: "its certificate is for other names; call it by one of them",
  SELF_SIGNED_CERT_IN_CHAIN: unknownRoot,
  DEPTH_ZERO_SELF_SIGNED_CERT: unknownRoot,
  UNABLE_TO_GET_ISSUER_CERT: unknownRoot,
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: unknownRoot,
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: unknownRoot,
  ERR_SSL_WRONG_VERSION_NUMBER: "it does not speak TLS on that port; if that is as it should be, call it by http://",
  ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED:
    "it wants a client certificate, and this workload's is for the mesh only; call it without the mesh",
});

/** Which names a certificate is for, as Node says it. */
function altNames(cause: unknown): string {
  const { reason } = (cause ?? {}) as { reason?: unknown };
  return typeof reason === "string" && reason.includes("altnames") ? `: ${reason}` : "";
}

/** Connections belong to no request, and must not carry the context of the one that wanted them first. */
function inNoRequest(connect: Connect): Connect {
  return (callback) => outsideRequests(() => connect(callback));
}

class HttpTransport implements EndpointTransport {
  readonly enforcedIdentity = null;
  readonly encrypted: boolean;
  readonly withholdsTrace: boolean;
  wire = "";
  readonly #client: EndpointClient;
  readonly #onClose: (transport: HttpTransport) => void;

  constructor(
    client: (onOpen: (socket: Socket, protocol: "h1" | "h2") => void) => EndpointClient,
    { scheme }: AllowedHost,
    withholdsTrace: boolean,
    onClose: (transport: HttpTransport) => void,
  ) {
    this.encrypted = scheme === "https";
    this.withholdsTrace = withholdsTrace;
    this.#onClose = onClose;
    this.#client = client((socket, protocol) => {
      this.wire = `${describeWire(socket, protocol)}${socket instanceof TLSSocket ? " by name" : ""}`;
      // Requests in flight keep the process alive, connections that wait for some don't.
      socket.unref();
    });
  }

  call(x: Exchange, sink: Sink): void {
    this.#client.call(x, sink);
  }

  close(): void {
    void this.end();
  }

  async end(): Promise<void> {
    await this.#client.close();
    this.#onClose(this);
  }

  destroy(): void {
    this.#client.destroy();
  }
}

/** Of an address that a name must not lead to. */
class RefusedTransport implements EndpointTransport {
  readonly enforcedIdentity = null;
  readonly encrypted = true;
  readonly wire = "refused";
  readonly #reason: string;

  constructor(reason: string) {
    this.#reason = reason;
  }

  call(x: Exchange, sink: Sink): void {
    refuse(x, sink, meshError("SELVAGE_ERR_EGRESS", this.#reason));
  }

  close(): void {}
}
