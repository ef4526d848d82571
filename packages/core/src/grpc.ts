export { type GrpcChannelArguments, grpcChannel } from "./grpc/grpc-channel.js";
export { peerOfCall, type ServedCall } from "./grpc/peer-of-call.js";
export { serveGrpc } from "./grpc/serve-grpc.js";
