// Preloaded into whatever the documents start: nothing of them may need more than this machine.
import { Socket } from "node:net";

const { connect } = Socket.prototype;
Socket.prototype.connect = function (...args) {
  const options = Array.isArray(args[0]) ? args[0][0] : args[0];
  const host = options?.host ?? options?.path ?? "localhost";
  if (!/^(127\.|::1$|localhost$|\/)/.test(host)) throw new Error(`the documents' tests are offline: ${host}`);
  return connect.apply(this, args);
};
