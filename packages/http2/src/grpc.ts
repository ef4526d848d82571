export { GrpcExit } from "./grpc/grpc-exit.js";
export { createGrpcChannelOptions, ServiceChannel, type ServiceChannelOptions } from "./grpc/service-channel.js";
