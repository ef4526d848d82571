import {
  type ChannelInterface,
  type ChannelOptions,
  type ClientOptions,
  connectivityState,
  type Deadline,
  propagate,
} from "@grpc/grpc-js";
import { Exchange, type Service } from "../exchange.js";
import { deadlineMs } from "./call-deadline.js";
import { type CallSettings, ServiceCall } from "./service-call.js";

/** Options of {@link ServiceChannel} and {@link createGrpcChannelOptions}. */
export interface ServiceChannelOptions {
  /** Makes the exchange of each call. @defaultValue makes an `Exchange` */
  readonly newExchange?: () => Exchange;
  /** The scheme that exchanges have. @defaultValue "http" */
  readonly scheme?: "http" | "https";
}

/**
 * What makes every client that is created with it send through a service: `new Greeter(address, credentials, { ...options })`.
 * The authority of its calls is the address, without a `dns:` or `ipv4:` in front. Each call is an exchange of its own, so that the
 * service can balance and retry calls one by one.
 *
 * Of grpc-js's channel options these are heeded: `grpc.max_receive_message_length` (4 MiB unless given),
 * `grpc.max_send_message_length`, `grpc.default_authority`, `grpc.primary_user_agent`, `grpc.secondary_user_agent`. Retries, load
 * balancing, keepalive, proxies and TLS belong to the service. Messages aren't compressed, and call credentials have to
 * be given with the call, not with the channel.
 */
export function createGrpcChannelOptions(
  service: Service,
  options: ServiceChannelOptions = {},
): Pick<ClientOptions, "channelFactoryOverride"> {
  return {
    channelFactoryOverride: (address, _credentials, channelOptions) =>
      new ServiceChannel(service, address, channelOptions, options),
  };
}

/** A grpc-js Channel whose calls go to a service. It is always ready, and connects to nothing itself. */
export class ServiceChannel implements ChannelInterface, CallSettings {
  readonly service: Service;
  readonly newExchange: () => Exchange;
  readonly scheme: "http" | "https";
  readonly maxReceiveBytes: number;
  readonly maxSendBytes: number;
  readonly userAgent: string;
  readonly #target: string;
  readonly #authority: string;
  readonly #watchers: (() => void)[] = [];
  #closed = false;

  constructor(
    service: Service,
    target: string,
    channelOptions: ChannelOptions = {},
    options: ServiceChannelOptions = {},
  ) {
    this.service = service;
    this.newExchange = options.newExchange ?? (() => new Exchange());
    this.scheme = options.scheme ?? "http";
    this.#target = target;
    this.#authority = channelOptions["grpc.default_authority"] ?? authorityOf(target);
    this.maxReceiveBytes = channelOptions["grpc.max_receive_message_length"] ?? 4 * 1024 * 1024;
    this.maxSendBytes = channelOptions["grpc.max_send_message_length"] ?? -1;
    const agents = [
      channelOptions["grpc.primary_user_agent"],
      "grpc-node-js-selvage",
      channelOptions["grpc.secondary_user_agent"],
    ];
    this.userAgent = agents.filter((agent) => agent).join(" ");
  }

  /** Takes no more calls. Those in flight go on. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const watcher of this.#watchers.splice(0)) watcher();
  }

  getTarget(): string {
    return this.#target;
  }

  getConnectivityState(): connectivityState {
    return this.#closed ? connectivityState.SHUTDOWN : connectivityState.READY;
  }

  /** Calls back when the channel is closed, or with an error at the deadline: there is no other change. */
  watchConnectivityState(currentState: connectivityState, deadline: Deadline, callback: (error?: Error) => void): void {
    if (this.#closed) throw new Error("Channel has been shut down");
    if (currentState !== connectivityState.READY) {
      process.nextTick(callback);
      return;
    }
    let timer: NodeJS.Timeout | null = null;
    const watcher = (): void => {
      if (timer !== null) clearTimeout(timer);
      process.nextTick(callback);
    };
    this.#watchers.push(watcher);
    const remaining = deadlineMs(deadline) - Date.now();
    if (remaining > 2 ** 31 - 1) return;
    timer = setTimeout(
      () => {
        this.#watchers.splice(this.#watchers.indexOf(watcher), 1);
        callback(new Error("Deadline passed without connectivity state change"));
      },
      Math.max(remaining, 0),
    );
  }

  getChannelzRef(): ReturnType<ChannelInterface["getChannelzRef"]> {
    return { kind: "channel", id: -1, name: this.#target } as ReturnType<ChannelInterface["getChannelzRef"]>;
  }

  createCall(
    method: string,
    deadline: Deadline,
    host: string | null | undefined,
    parentCall: Parameters<ChannelInterface["createCall"]>[3],
    propagateFlags: number | null | undefined,
  ): ServiceCall {
    if (typeof method !== "string") throw new TypeError("Channel#createCall: method must be a string");
    if (!(typeof deadline === "number" || deadline instanceof Date)) {
      throw new TypeError("Channel#createCall: deadline must be a number or Date");
    }
    if (this.#closed) throw new Error("Channel has been shut down");
    const flags = propagateFlags ?? propagate.DEFAULTS;
    return new ServiceCall(this, method, deadline, host ?? this.#authority, parentCall, flags);
  }
}

/** The authority in a gRPC target (`greeter.shop:50051`, `dns:///greeter.shop`, `ipv4:10.0.0.1:50051`). */
function authorityOf(target: string): string {
  const match = /^(?:(?:dns|passthrough):(?:\/\/[^/]*\/)?|ipv[46]:(?:\/\/\/)?)?([^/,]+)$/.exec(target);
  if (match === null) {
    throw new TypeError(`target must be an authority, or dns:, ipv4: or ipv6: and one, got ${JSON.stringify(target)}`);
  }
  return match[1]!;
}
