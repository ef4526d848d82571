// A closed loop over mutual TLS: HTTP/1.1 with one request a connection, or HTTP/2 with several. It reads no more of the
// answers than tells where they end, so that it is cheaper than any server.
import { readFileSync } from "node:fs";
import { connect } from "node:tls";
import { options, ready } from "./program.mjs";

const credentials = {
  cert: readFileSync(options.tls.cert),
  key: readFileSync(options.tls.key),
  ca: readFileSync(options.tls.ca),
  checkServerIdentity: () => undefined,
  minVersion: "TLSv1.3",
};

let total = 0;
let failure = null;

function open(port, ALPNProtocols, connection) {
  return new Promise((resolve, reject) => {
    const socket = connect({ ...credentials, ALPNProtocols, port, host: "127.0.0.1" }, () => {
      socket.setNoDelay(true);
      connection.start(socket);
      resolve(socket);
    });
    socket.on("data", (chunk) => connection.read(chunk));
    socket.on("error", reject);
    socket.on("close", () => {
      if (!connection.stopped) failure ??= "the server closed a connection";
    });
  });
}

class Http1 {
  stopped = false;

  constructor(host, path) {
    this.request = `GET ${path} HTTP/1.1\r\nHost: ${host}\r\n\r\n`;
    this.left = -1;
  }

  start(socket) {
    this.socket = socket;
    socket.write(this.request, "latin1");
  }

  read(chunk) {
    let bytes = chunk.length;
    if (this.left < 0) {
      const head = chunk.latin1Slice();
      const end = head.indexOf("\r\n\r\n");
      if (!head.startsWith("HTTP/1.1 200") || end < 0) failure ??= `answered ${head.slice(0, 60)}`;
      this.left = Number(/\r\ncontent-length: *(\d+)/i.exec(head)?.[1]);
      bytes -= end + 4;
    }
    this.left -= bytes;
    if (this.left > 0) return;
    this.left = -1;
    total += 1;
    if (!this.stopped) this.socket.write(this.request, "latin1");
  }
}

const settings = Buffer.from([0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 4, 0x7f, 0xff, 0xff, 0xff]);
const window = Buffer.from([0, 0, 4, 8, 0, 0, 0, 0, 0, 0x7f, 0xff, 0, 0]);
const settingsAck = Buffer.from([0, 0, 0, 4, 1, 0, 0, 0, 0]);
const pingAck = Buffer.from([0, 0, 8, 6, 1, 0, 0, 0, 0]);

class Http2 {
  stopped = false;
  id = 1;
  rest = Buffer.alloc(0);

  constructor(host, path, streams) {
    this.streams = streams;
    const literal = (name, text) => [name, text.length, ...Buffer.from(text)];
    // Static table: GET, https; :path and :authority as literals that are never put into the dynamic table.
    const block = [0x82, 0x87, ...literal(0x04, path), ...literal(0x01, host)];
    this.frame = Buffer.from([0, 0, block.length, 1, 5, 0, 0, 0, 0, ...block]);
  }

  start(socket) {
    this.socket = socket;
    socket.write(Buffer.concat([Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), settings, window]));
    this.send(this.streams);
  }

  send(count) {
    const { frame } = this;
    const batch = Buffer.allocUnsafe(frame.length * count);
    for (let i = 0; i < count; i += 1) {
      frame.copy(batch, i * frame.length);
      batch.writeUInt32BE(this.id, i * frame.length + 5);
      this.id += 2;
    }
    this.socket.write(batch);
  }

  read(chunk) {
    const data = this.rest.length === 0 ? chunk : Buffer.concat([this.rest, chunk]);
    let at = 0;
    let done = 0;
    while (at + 9 <= data.length) {
      const length = data.readUIntBE(at, 3);
      if (at + 9 + length > data.length) break;
      const type = data[at + 3];
      const flags = data[at + 4];
      if (type <= 1 && (flags & 1) !== 0) done += 1;
      else if (type === 4 && (flags & 1) === 0) this.socket.write(settingsAck);
      else if (type === 6 && (flags & 1) === 0)
        this.socket.write(Buffer.concat([pingAck, data.subarray(at + 9, at + 17)]));
      else if (type === 3 || type === 7) failure ??= `frame ${type}: ${data.toString("hex", at + 9, at + 9 + length)}`;
      // 8 is ":status: 200" of the static table, in which a block of ours and of every common server starts.
      if (type === 1 && data[at + 9] !== 0x88) failure ??= "the answer is not 200";
      at += 9 + length;
    }
    this.rest = at === data.length ? Buffer.alloc(0) : data.subarray(at);
    total += done;
    if (done > 0 && !this.stopped) this.send(done);
  }
}

ready(
  {},
  {
    async closed({ port, protocol, connections, streams, ms, host, path }) {
      total = 0;
      const h2 = protocol === "h2";
      const made = Array.from({ length: connections }, () =>
        h2 ? new Http2(host, path, streams) : new Http1(host, path),
      );
      await Promise.all(made.map((connection) => open(port, [h2 ? "h2" : "http/1.1"], connection)));
      await new Promise((resolve) => setTimeout(resolve, ms));
      for (const connection of made) connection.stopped = true;
      await new Promise((resolve) => setTimeout(resolve, 20));
      for (const { socket } of made) socket.destroy();
      if (failure !== null) throw new Error(failure);
      return { requests: total };
    },

    /** Connections that have served one request each, and stay. */
    async idle({ port, connections, host, path }) {
      const answered = total + connections;
      for (let opened = 0; opened < connections; opened += 20) {
        const more = Math.min(20, connections - opened);
        await Promise.all(Array.from({ length: more }, () => open(port, ["h2"], new Once(host, path, 1))));
      }
      while (total < answered && failure === null) await new Promise((resolve) => setTimeout(resolve, 5));
      if (failure !== null) throw new Error(failure);
      return { requests: total };
    },
  },
);

class Once extends Http2 {
  send(count) {
    if (this.id === 1) super.send(count);
  }
}
