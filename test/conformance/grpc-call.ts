import type { EventEmitter } from "node:events";
import {
  type CallOptions,
  type Client,
  type ClientDuplexStream,
  type ClientReadableStream,
  type ClientUnaryCall,
  type ClientWritableStream,
  Metadata,
  type ServiceError,
  type StatusObject,
  status,
} from "@grpc/grpc-js";
import { type Ask, definition, shown } from "./grpc-app.js";

/** What a caller saw, in a form in which cells can be compared. */
export interface GrpcOutcome {
  readonly code: string;
  readonly details: string;
  readonly head: Record<string, string[]>;
  readonly messages: unknown[];
  readonly trailers: Record<string, string[]>;
}

export interface GrpcCall {
  readonly method?: keyof typeof definition;
  /** One for methods without a stream, as many as one likes for those with one. */
  readonly asks?: readonly Ask[];
  readonly metadata?: Metadata;
  readonly options?: CallOptions;
  /** Resolves when the call is to be given up. */
  readonly cancel?: Promise<unknown>;
  /** The same, as soon as this many messages have come. */
  readonly cancelAfter?: number;
}

/** Makes a call of whatever kind. */
export function grpcCall(client: Client, one: GrpcCall): Promise<GrpcOutcome> {
  const { method = "unary", asks = [{}], metadata = new Metadata(), options = {} } = one;
  const { path, requestStream, responseStream, requestSerialize, responseDeserialize } = definition[method];
  return new Promise((resolve) => {
    const messages: unknown[] = [];
    let head: Metadata | undefined;
    let answered = responseStream;
    let final: StatusObject | null = null;
    const done = () => {
      if (final === null || !answered) return;
      const { code, details, metadata: trailers } = final;
      resolve({ code: status[code], details, head: shown(head), messages, trailers: shown(trailers) });
    };
    const callback = (_error: ServiceError | null, value?: unknown) => {
      if (value !== undefined) messages.push(value);
      answered = true;
      done();
    };
    let call: ClientUnaryCall | ClientReadableStream<unknown>;
    if (requestStream) {
      const writable: ClientWritableStream<Ask> | ClientDuplexStream<Ask, unknown> = responseStream
        ? client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize, metadata, options)
        : client.makeClientStreamRequest(path, requestSerialize, responseDeserialize, metadata, options, callback);
      for (const ask of asks) writable.write(ask);
      writable.end();
      call = writable as ClientUnaryCall | ClientReadableStream<unknown>;
    } else {
      call = responseStream
        ? client.makeServerStreamRequest(path, requestSerialize, responseDeserialize, asks[0]!, metadata, options)
        : client.makeUnaryRequest(path, requestSerialize, responseDeserialize, asks[0]!, metadata, options, callback);
    }
    call.on("metadata", (given: Metadata) => {
      head = given;
    });
    call.on("status", (given: StatusObject) => {
      final = given;
      done();
    });
    (call as EventEmitter).on("error", () => {});
    if (responseStream) {
      (call as ClientReadableStream<unknown>).on("data", (value: unknown) => {
        messages.push(value);
        if (messages.length === one.cancelAfter) call.cancel();
      });
    }
    void one.cancel?.then(() => call.cancel());
  });
}
