import {
  Server,
  type ServerUnaryCall,
  type ServerWritableStream,
  type ServiceDefinition,
  type sendUnaryData,
} from "@grpc/grpc-js";

const text = {
  requestSerialize: (value: string) => Buffer.from(value),
  requestDeserialize: (bytes: Buffer) => bytes.toString(),
  responseSerialize: (value: string) => Buffer.from(value),
  responseDeserialize: (bytes: Buffer) => bytes.toString(),
};

/** A gRPC service whose messages are text: a request is an id. */
export const chaosService = {
  unary: { path: "/chaos.Chaos/Unary", requestStream: false, responseStream: false, ...text },
  stream: { path: "/chaos.Chaos/Stream", requestStream: false, responseStream: true, ...text },
} satisfies ServiceDefinition;

/** Serves it: each call is told to `arrive`, and answered after a delay; streams in three pieces. */
export function chaosServer(arrive: (id: string) => void, delayMs: () => number): Server {
  const server = new Server();
  server.addService(chaosService, {
    unary(call: ServerUnaryCall<string, string>, callback: sendUnaryData<string>) {
      arrive(call.request);
      setTimeout(() => callback(null, "answer"), delayMs());
    },
    stream(call: ServerWritableStream<string, string>) {
      arrive(call.request);
      call.write("one");
      setTimeout(() => {
        call.write("two");
        call.write("three");
        call.end();
      }, delayMs());
    },
  });
  return server;
}
