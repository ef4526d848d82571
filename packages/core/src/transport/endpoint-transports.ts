import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { TLSSocket } from "node:tls";
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
import { clientTlsOptions, IdentityError, type IdentitySource, SpiffeId } from "@selvage/tls-identity";
import type { EndpointFactory, EndpointTransport } from "../balancer/endpoint.js";
import { formatHostPort } from "../config/address.js";
import { outsideRequests } from "../mesh/request-context.js";
import type { EndpointAddress } from "../resolver/resolver.js";

export interface EndpointTransportsOptions {
  readonly identity: IdentitySource;
  /** Told why something that protects us from a peer struck. */
  readonly onProtection: (reason: string) => void;
  /** An endpoint could not prove who it is, and why. */
  readonly onRefusedPeer: (reason: string, address: string) => void;
}

/**
 * Makes the connections of endpoints: HTTP/2 over mutual TLS, with HTTP/1 carried on it, where an identity is expected;
 * plain HTTP/1.1 or HTTP/2 elsewhere. When this workload's identity rotates, new exchanges get new connections.
 */
export class EndpointTransports {
  readonly #identity: IdentitySource;
  readonly #onProtection: (reason: string) => void;
  readonly #onRefusedPeer: (reason: string, address: string) => void;
  readonly #open = new Set<ClientTransport>();
  readonly #unsubscribe: () => void;

  constructor(options: EndpointTransportsOptions) {
    this.#identity = options.identity;
    this.#onProtection = options.onProtection;
    this.#onRefusedPeer = options.onRefusedPeer;
    this.#unsubscribe = options.identity.subscribe(() => {
      for (const transport of this.#open) transport.client.refresh();
    });
  }

  /** For the endpoints of one authority. */
  factory(connectTimeoutMs: number): EndpointFactory {
    return { create: (address) => this.#create(address, connectTimeoutMs) };
  }

  #create(address: EndpointAddress, connectTimeoutMs: number): EndpointTransport {
    const { identity } = address;
    const wire = { text: "" };
    const client = new EndpointClient(this.#connect(address, connectTimeoutMs), {
      protocol: identity === null && address.attributes?.["protocol"] !== "h2" ? "h1" : "h2",
      carryHttp1: identity !== null,
      connectTimeoutMs,
      listener: {
        onOpen(socket, protocol) {
          wire.text = describeWire(socket, protocol);
          // Requests in flight keep the process alive (ProcessHold), connections that wait for some don't.
          (socket as Socket).unref();
        },
      },
      http1: { onProtection: this.#onProtection },
      http2: {
        onProtection: this.#onProtection,
        // gRPC servers outside the mesh end connections whose clients send PINGs more often than every 5 minutes.
        ...(identity === null && { keepAliveIntervalMs: 330_000 }),
      },
    });
    const transport = new ClientTransport(client, identity, wire, (closed) => this.#open.delete(closed));
    this.#open.add(transport);
    return transport;
  }

  /** Resolves when what is in flight is done and the connections are closed. */
  async close(): Promise<void> {
    this.#unsubscribe();
    await Promise.all([...this.#open].map((transport) => transport.client.close()));
  }

  destroy(): void {
    this.#unsubscribe();
    for (const transport of this.#open) transport.client.destroy();
    this.#open.clear();
  }

  #connect(address: EndpointAddress, timeoutMs: number): Connect {
    const connect = this.#connectTo(address, timeoutMs);
    if (address.identity === null) return (callback) => outsideRequests(() => connect(callback));
    return (callback) =>
      outsideRequests(() =>
        connect((error, socket, expiresAt) => {
          if (error === null) callback(null, socket, expiresAt);
          else callback(this.#judged(error, address), null, expiresAt);
        }),
      );
  }

  /** Tells of a peer that could not prove who it is, whether OpenSSL or the leaf gate found out. */
  #judged(error: ExchangeError, { host, port }: EndpointAddress): ExchangeError {
    const { cause } = error;
    const address = formatHostPort({ host, port });
    if (IdentityError.is(cause) && error.origin === "peer") {
      this.#onRefusedPeer(cause.reason, address);
      return transportError("SELVAGE_ERR_TLS", error.message, error.origin, error.progress, cause);
    }
    if (error.code === "SELVAGE_ERR_TLS" && error.origin === "peer") this.#onRefusedPeer(nodeErrorCode(cause), address);
    return error;
  }

  #connectTo(address: EndpointAddress, timeoutMs: number): Connect {
    const { host, port, identity } = address;
    if (identity === null) return tcpConnect({ host, port, timeoutMs, lent: true });
    const expected = SpiffeId.parse(identity);
    return tlsConnect({
      host,
      port,
      timeoutMs,
      lent: true,
      tls: () => {
        const snapshot = this.#identity.current;
        if (snapshot === null) throw new Error("this workload has no identity yet");
        return clientTlsOptions(snapshot, expected);
      },
      // The peer's certificate was checked in the handshake; its end is the connection's end, and so is that of our own.
      expiresAt: (socket) => {
        const theirs = socket.getPeerCertificate().valid_to;
        return Math.min(Date.parse(theirs), this.#identity.current?.notAfter ?? Number.POSITIVE_INFINITY);
      },
    });
  }
}

/** What is spoken on a connection, for people. */
export function describeWire(socket: Duplex, protocol: "h1" | "h2"): string {
  const http = protocol === "h2" ? "HTTP/2" : "HTTP/1.1";
  return socket instanceof TLSSocket ? `${http}, ${socket.getProtocol()?.replace("TLSv", "TLS ")}` : `${http}, plain`;
}

class ClientTransport implements EndpointTransport {
  readonly client: EndpointClient;
  readonly enforcedIdentity: string | null;
  readonly #wire: { readonly text: string };
  readonly #onClose: (transport: ClientTransport) => void;

  constructor(
    client: EndpointClient,
    identity: string | null,
    wire: { readonly text: string },
    onClose: (transport: ClientTransport) => void,
  ) {
    this.client = client;
    this.enforcedIdentity = identity;
    this.#wire = wire;
    this.#onClose = onClose;
  }

  get wire(): string {
    return this.#wire.text;
  }

  call(x: Exchange, sink: Sink): void {
    this.client.call(x, sink);
  }

  close(): void {
    this.client.close().then(
      () => this.#onClose(this),
      () => this.#onClose(this),
    );
  }
}
