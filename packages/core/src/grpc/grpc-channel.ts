import { type ChannelCredentials, type ClientOptions, credentials } from "@grpc/grpc-js";
import { createGrpcChannelOptions } from "@selvage/http2/grpc";
import { type Mesh, runtimeOf } from "../mesh/mesh.js";
import { followRequests, newOutboundExchange } from "../mesh/request-context.js";

/** What the constructors of grpc-js clients take. */
export type GrpcChannelArguments = [address: string, credentials: ChannelCredentials, options: ClientOptions];

/**
 * What makes a client of grpc-js send through the mesh: `new Greeter(...grpcChannel(mesh, "greeter.shop"))`. Its calls are looked
 * up by name, mutual TLS, balanced one by one, retried if they were not sent, measured.
 *
 * `options` are those of the client. Heeded are interceptors, and of the channel options `grpc.max_receive_message_length` (4 MiB
 * unless given), `grpc.max_send_message_length`, `grpc.default_authority` and the user agents: connections, retries, balancing
 * and TLS belong to the mesh. Messages are not compressed. Call credentials are given with the call.
 */
export function grpcChannel(mesh: Mesh, authority: string, options: ClientOptions = {}): GrpcChannelArguments {
  followRequests();
  const channel = createGrpcChannelOptions(runtimeOf(mesh).outbound, {
    newExchange: newOutboundExchange,
  });
  return [authority, credentials.createInsecure(), { ...options, ...channel }];
}
