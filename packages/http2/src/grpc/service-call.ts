import { AsyncResource } from "node:async_hooks";
import {
  type CallCredentials,
  type ChannelInterface,
  type Deadline,
  type InterceptingListener,
  type Metadata,
  propagate,
  type StatusObject,
  status,
} from "@grpc/grpc-js";
import type { Exchange, HeaderList, Service, Sink } from "../exchange.js";
import { type ExchangeError, transportError } from "../exchange-error.js";
import { MessageBody, type MessageBodyOwner } from "../node/client/message-body.js";
import { deadlineMs, grpcTimeout } from "./call-deadline.js";
import { addMetadata, toMetadata } from "./call-metadata.js";
import { localStatus, statusOfError, statusOfTrailers } from "./call-status.js";
import { MessageDecoder, MessageTooLargeError, messagePrefix } from "./message-decoder.js";

type GrpcCall = ReturnType<ChannelInterface["createCall"]>;
type ParentCall = Parameters<ChannelInterface["createCall"]>[3];
type MessageContext = Parameters<GrpcCall["sendMessageWithContext"]>[0];

/** What all calls of one channel share. */
export interface CallSettings {
  readonly service: Service;
  readonly newExchange: () => Exchange;
  readonly scheme: "http" | "https";
  /** Of one message. -1 is no limit. */
  readonly maxReceiveBytes: number;
  readonly maxSendBytes: number;
  readonly userAgent: string;
}

const maxTimerMs = 2 ** 31 - 1;
/** Messages up to this are copied behind their prefix, so that both are one chunk. */
const maxJoinedBytes = 4096;

let lastCallNumber = 0;

/**
 * One RPC of a grpc-js client as an exchange. It does what grpc-js's own call does below the interceptors: framing, metadata,
 * deadline, cancellation, propagation from a parent call. Retries and load balancing are the service's affair.
 */
export class ServiceCall implements GrpcCall, Sink, MessageBodyOwner {
  readonly #channel: CallSettings;
  readonly #method: string;
  readonly #host: string;
  readonly #number = ++lastCallNumber;
  readonly #scope = new AsyncResource("SELVAGE_GRPC_CALL", { requireManualDestroy: true });
  readonly #body = new MessageBody(this);
  readonly #decoder: MessageDecoder;
  readonly #deadlineMs: number;
  readonly #parent: ParentCall;
  #timer: NodeJS.Timeout | null = null;
  #credentials: CallCredentials | null = null;
  #listener: InterceptingListener | null = null;
  #x: Exchange | null = null;
  #httpStatus = 0;
  #headTrailers: HeaderList | null = null;
  /** The exchange has had its terminal call. */
  #over = false;
  #messages: Buffer[] = [];
  /** The application has asked for a message. */
  #wanted = false;
  #delivering = false;
  #paused = false;
  #status: StatusObject | null = null;
  #statusGiven = false;

  constructor(
    channel: CallSettings,
    method: string,
    deadline: Deadline,
    host: string,
    parent: ParentCall,
    propagateFlags: number,
  ) {
    this.#channel = channel;
    this.#method = method;
    this.#host = host;
    this.#decoder = new MessageDecoder(channel.maxReceiveBytes);
    let endsAt = deadlineMs(deadline);
    this.#parent = parent !== null && (propagateFlags & propagate.CANCELLATION) !== 0 ? parent : null;
    this.#parent?.on("cancelled", this.#onParentCancelled);
    if (parent !== null && (propagateFlags & propagate.DEADLINE) !== 0) {
      endsAt = Math.min(endsAt, deadlineMs(parent.getDeadline()));
    }
    this.#deadlineMs = endsAt;
    const remaining = endsAt - Date.now();
    if (remaining <= 0) process.nextTick(expire, this);
    else if (remaining <= maxTimerMs) this.#timer = setTimeout(expire, remaining, this);
  }

  start(metadata: Metadata, listener: InterceptingListener): void {
    this.#listener = listener;
    const sent = metadata.clone();
    if (this.#status !== null) return;
    if (this.#credentials === null) {
      // On the next tick, so that what is sent in this one goes along, and nothing is answered inside this call.
      process.nextTick(begin, this, sent);
      return;
    }
    const options = {
      method_name: this.#method.slice(this.#method.lastIndexOf("/") + 1),
      service_url: this.#serviceUrl(),
    };
    this.#credentials.generateMetadata(options).then(
      (generated) => {
        sent.merge(generated);
        this.begin(sent);
      },
      (error: unknown) => {
        const details = error instanceof Error ? error.message : String(error);
        this.#end(localStatus(status.UNAUTHENTICATED, `Getting metadata from plugin failed with error: ${details}`));
      },
    );
  }

  begin(metadata: Metadata): void {
    if (this.#status !== null || this.#x !== null) return;
    const channel = this.#channel;
    const x = channel.newExchange();
    this.#x = x;
    x.method = "POST";
    x.scheme = channel.scheme;
    x.authority = this.#host;
    x.path = this.#method;
    x.version = "2.0";
    const headers = ["content-type", "application/grpc", "te", "trailers", "user-agent", channel.userAgent];
    headers.push("grpc-accept-encoding", "identity");
    if (this.#deadlineMs !== Number.POSITIVE_INFINITY)
      headers.push("grpc-timeout", grpcTimeout(this.#deadlineMs - Date.now()));
    addMetadata(headers, metadata);
    x.headers = headers;
    x.body = this.#body;
    channel.service.call(x, this);
  }

  sendMessageWithContext(context: MessageContext, message: Buffer): void {
    const { maxSendBytes } = this.#channel;
    if (maxSendBytes >= 0 && message.length > maxSendBytes) {
      const details = `Attempted to send message with a size larger than ${maxSendBytes}`;
      this.cancelWithStatus(status.RESOURCE_EXHAUSTED, details);
      return;
    }
    const prefix = messagePrefix(message.length);
    const callback = context.callback ?? null;
    if (message.length <= maxJoinedBytes) {
      this.#body.write(Buffer.concat([prefix, message]), callback);
    } else {
      this.#body.write(prefix, null);
      this.#body.write(message, callback);
    }
  }

  startRead(): void {
    this.#wanted = true;
    this.#deliver();
  }

  halfClose(): void {
    this.#body.end(null);
  }

  cancelWithStatus(code: status, details: string): void {
    this.#end(localStatus(code, details));
  }

  setCredentials(credentials: CallCredentials): void {
    this.#credentials = credentials;
  }

  getPeer(): string {
    return this.#host;
  }

  getCallNumber(): number {
    return this.#number;
  }

  /** `null`: the endpoint isn't known, and may be several. */
  getAuthContext(): null {
    return null;
  }

  expire(): void {
    this.#timer = null;
    this.cancelWithStatus(status.DEADLINE_EXCEEDED, "Deadline exceeded");
  }

  onInformational(): void {}

  onHead(httpStatus: number, headers: HeaderList): void {
    if (this.#status !== null) return;
    this.#httpStatus = httpStatus;
    // A response without messages: its head is its trailers.
    if (hasField(headers, "grpc-status")) {
      this.#headTrailers = headers;
      return;
    }
    const type = fieldOf(headers, "content-type");
    if (httpStatus === 200 && type !== undefined && !type.startsWith("application/grpc")) {
      this.#end(localStatus(status.UNKNOWN, `Received HTTP status code 200 with content-type ${type}`));
      return;
    }
    const metadata = toMetadata(headers);
    metadata.remove("grpc-encoding");
    metadata.remove("grpc-accept-encoding");
    this.#tell(this.#tellMetadata, metadata);
  }

  onData(chunk: Uint8Array): void {
    // What comes with an error page isn't messages.
    if (this.#status !== null || this.#httpStatus !== 200 || this.#headTrailers !== null) return;
    try {
      this.#decoder.write(chunk, this.#messages);
    } catch (error) {
      const code = error instanceof MessageTooLargeError ? status.RESOURCE_EXHAUSTED : status.INTERNAL;
      this.#end(localStatus(code, (error as Error).message));
      return;
    }
    this.#deliver();
    if (this.#messages.length > 0 && !this.#paused) {
      this.#paused = true;
      this.#x!.flow.pause();
    }
  }

  onEnd(trailers: HeaderList | null): void {
    this.#over = true;
    if (this.#status !== null) return;
    const final = statusOfTrailers(this.#httpStatus, this.#headTrailers ?? trailers ?? []);
    if (final.code === status.OK && this.#decoder.partial) {
      this.#end(localStatus(status.INTERNAL, "the response ended in the middle of a message"));
      return;
    }
    this.#status = final;
    this.#stop();
    // After the messages that came before it.
    this.#giveStatus();
  }

  onError(error: ExchangeError): void {
    this.#over = true;
    this.#end(statusOfError(error));
  }

  bodyDrained(): void {}

  bodyTouched(): void {}

  bodyMismatched(): void {}

  /** A message that the application has asked for. */
  deliver(message: Buffer): void {
    this.#delivering = false;
    if (this.#statusGiven) return;
    this.#tell(this.#tellMessage, message);
    this.#giveStatus();
    this.#deliver();
  }

  /** The last thing that is told. */
  finish(): void {
    this.#tell(this.#tellStatus, this.#status!);
  }

  readonly #onParentCancelled = (): void => {
    this.cancelWithStatus(status.CANCELLED, "Cancelled by parent call");
  };

  #deliver(): void {
    if (this.#delivering || !this.#wanted || this.#statusGiven) return;
    const message = this.#messages.shift();
    if (message === undefined) {
      if (this.#paused && !this.#over) {
        this.#paused = false;
        this.#x?.flow.resume();
      }
      return;
    }
    this.#wanted = false;
    this.#delivering = true;
    // Not at once: the application asks for the next one inside its callback.
    process.nextTick(deliver, this, message);
  }

  /** Ends the call for a reason that lies here, or in the transport: messages that wait are dropped. */
  #end(final: StatusObject): void {
    if (this.#status !== null && (this.#status.code !== status.OK || this.#statusGiven)) return;
    this.#status = final;
    this.#messages.length = 0;
    this.#stop();
    if (!this.#over && this.#x !== null) {
      this.#over = true;
      const code = final.code === status.DEADLINE_EXCEEDED ? "SELVAGE_ERR_TIMEOUT" : "SELVAGE_ERR_ABORTED";
      this.#x.flow.abort(transportError(code, final.details, "caller"));
    }
    this.#giveStatus();
  }

  #stop(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    this.#parent?.removeListener("cancelled", this.#onParentCancelled);
    // What is still written goes nowhere, and its callbacks are called.
    if (!this.#over || this.#status?.code !== status.OK) this.#body.cancel();
  }

  #giveStatus(): void {
    if (this.#status === null || this.#statusGiven || this.#delivering || this.#messages.length > 0) return;
    this.#statusGiven = true;
    process.nextTick(finish, this);
  }

  #tell<A>(action: (this: ServiceCall, a: A) => void, a: A): void {
    try {
      this.#scope.runInAsyncScope(action, this, a);
    } catch (error) {
      // The application's, which must not unwind through the transport.
      queueMicrotask(() => {
        throw error;
      });
    }
  }

  #tellMetadata(metadata: Metadata): void {
    this.#listener?.onReceiveMetadata(metadata);
  }

  #tellMessage(message: Buffer): void {
    this.#listener?.onReceiveMessage(message);
  }

  #tellStatus(final: StatusObject): void {
    this.#listener?.onReceiveStatus(final);
  }

  #serviceUrl(): string {
    return `https://${this.#host.replace(/:443$/, "")}${this.#method.slice(0, this.#method.lastIndexOf("/"))}`;
  }
}

function begin(call: ServiceCall, metadata: Metadata): void {
  call.begin(metadata);
}

function expire(call: ServiceCall): void {
  call.expire();
}

function deliver(call: ServiceCall, message: Buffer): void {
  call.deliver(message);
}

function finish(call: ServiceCall): void {
  call.finish();
}

function hasField(headers: HeaderList, name: string): boolean {
  return fieldOf(headers, name) !== undefined;
}

function fieldOf(headers: HeaderList, name: string): string | undefined {
  for (let i = 0; i < headers.length; i += 2) if (headers[i] === name) return headers[i + 1];
  return undefined;
}
