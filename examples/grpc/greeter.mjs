// What a .proto file and its generated code would say; with JSON instead of protobuf, to keep the example in one place.
import { makeGenericClientConstructor } from "@grpc/grpc-js";

const json = {
  requestSerialize: (value) => Buffer.from(JSON.stringify(value)),
  requestDeserialize: (bytes) => JSON.parse(bytes.toString()),
  responseSerialize: (value) => Buffer.from(JSON.stringify(value)),
  responseDeserialize: (bytes) => JSON.parse(bytes.toString()),
};

export const greeter = {
  sayHello: { path: "/shop.Greeter/SayHello", requestStream: false, responseStream: false, ...json },
};

export const Greeter = makeGenericClientConstructor(greeter, "Greeter");
