export { grpcChannelCredentials } from "./grpc/channel-credentials.js";
export { type GrpcListener, type GrpcListenerOptions, listenGrpc, peerOfGrpcCall } from "./grpc/listen-grpc.js";
