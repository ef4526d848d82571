import { writeFileSync } from "node:fs";
import { Agent, type IncomingMessage, request } from "node:http";
import { connect } from "node:net";
import { join } from "node:path";
import { setTimeout as later } from "node:timers/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import { WebSocket, WebSocketServer } from "ws";
import { bytesOf, digest } from "./bytes.js";
import { read } from "./client.js";
import { type Credentials, exportSvid, strangerSvid } from "./credentials.js";
import { echoApp } from "./echo-app.js";
import { listen, Meshes } from "./meshes.js";
import { describeWith, Program } from "./programs.js";

const meshes = new Meshes();
let port = 0;

beforeAll(async () => {
  const server = (await meshes.server()).createServer(echoApp);
  const sockets = new WebSocketServer({ server });
  sockets.on("connection", (socket: typeof WebSocket) =>
    socket.on("message", (data: Buffer) => socket.send(`got ${data}`)),
  );
  port = await listen(server);
});
afterAll(() => meshes.stop());

/** Starts a proxy that listens on a unix socket, and waits until it does. */
async function start(command: string, parameters: readonly string[], socketPath: string): Promise<void> {
  const program = new Program(command, parameters);
  meshes.onStop(() => program.stop());
  let over = false;
  program.ended.then(
    () => {
      over = true;
    },
    () => {
      over = true;
    },
  );
  const open = () =>
    new Promise<boolean>((resolve) => {
      const socket = connect(socketPath, () => resolve(true));
      socket.on("error", () => resolve(false)).on("connect", () => socket.destroy());
    });
  while (!(await open())) {
    if (over) throw new Error(`${command} ended: ${program.stderr}${program.stdout}`);
    await later(20);
  }
}

interface Front {
  readonly socketPath: string;
  readonly credentials: Credentials;
}

function nginx(front: Front): Promise<void> {
  const { socketPath, credentials } = front;
  const directory = meshes.stateDir;
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
    .map((name) => `${name}_temp_path ${join(directory, `nginx-${name}`)};`)
    .join("\n");
  const file = join(directory, "nginx.conf");
  writeFileSync(
    file,
    `daemon off;
    master_process off;
    pid ${join(directory, "nginx.pid")};
    error_log stderr warn;
    events {}
    http {
      access_log off;
      ${temporary}
      client_max_body_size 0;
      map $http_upgrade $connection_upgrade { default upgrade; '' ''; }
      upstream mesh { server 127.0.0.1:${port}; keepalive 4; }
      server {
        listen unix:${socketPath};
        location / {
          proxy_pass https://mesh;
          proxy_http_version 1.1;
          proxy_set_header Host echo.test;
          proxy_set_header Upgrade $http_upgrade;
          proxy_set_header Connection $connection_upgrade;
          proxy_request_buffering off;
          proxy_buffering off;
          proxy_ssl_certificate ${credentials.cert};
          proxy_ssl_certificate_key ${credentials.key};
          proxy_ssl_protocols TLSv1.3;
          # It could only verify a host name, which an SVID has not.
          proxy_ssl_verify off;
        }
      }
    }`,
  );
  return start("nginx", ["-c", file, "-p", directory, "-e", "stderr"], socketPath);
}

function haproxy(front: Front, alpn: string): Promise<void> {
  const { socketPath, credentials } = front;
  const file = `${socketPath}.cfg`;
  writeFileSync(
    file,
    `global
      maxconn 100
    defaults
      mode http
      timeout connect 5s
      timeout client 20s
      timeout server 20s
    frontend front
      bind ${socketPath}
      default_backend mesh
    backend mesh
      http-request set-header Host echo.test
      server one 127.0.0.1:${port} ssl crt ${credentials.both} ca-file ${credentials.roots} verify required alpn ${alpn} ssl-min-ver TLSv1.3
`,
  );
  return start("haproxy", ["-db", "-q", "-f", file], socketPath);
}

/** A request to the front, as a client outside of the mesh makes it. */
async function send(
  front: Front,
  path: string,
  options: { method?: string; body?: Iterable<Buffer>; agent?: Agent } = {},
) {
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    const { method = "GET", body, agent } = options;
    const sent = request({
      socketPath: front.socketPath,
      path,
      method,
      headers: { host: "outside.test" },
      ...(agent && { agent }),
    });
    sent.on("response", resolve).on("error", reject);
    for (const chunk of body ?? []) sent.write(chunk);
    sent.end();
  });
  const text = (await read(response)).toString();
  return { status: response.statusCode, headers: response.headers, text };
}

const fronts = [
  { name: "nginx", version: "-v", front: nginx, sockets: true },
  { name: "haproxy", version: "-v", front: (front: Front) => haproxy(front, "http/1.1"), sockets: true },
  { name: "haproxy", version: "-v", front: (front: Front) => haproxy(front, "h2"), sockets: false },
];

for (const [i, { name, version, front, sockets }] of fronts.entries()) {
  const kind = `${name}, ${sockets ? "HTTP/1.1" : "HTTP/2"}`;
  describeWith(name, [version], `${kind}, with an SVID in front of a mesh port`, () => {
    let good: Front;
    beforeAll(async () => {
      const credentials = await exportSvid(meshes.stateDir, `${name}-${i}`);
      good = { socketPath: join(meshes.stateDir, `front-${i}.sock`), credentials };
      await front(good);
    });

    test("the application sees the proxy's identity", async () => {
      const { status, text } = await send(good, "/a?b=c");
      expect(status).toBe(200);
      expect(JSON.parse(text)).toMatchObject({
        url: "/a?b=c",
        encrypted: true,
        peer: good.credentials.id,
        headers: { host: "echo.test", "l5d-client-id": good.credentials.id },
      });
    });

    test("bodies, with and without a length", async () => {
      const body = bytesOf(3_000_000);
      const chunked = await send(good, "/", { method: "POST", body: [body.subarray(0, 1000), body.subarray(1000)] });
      expect(JSON.parse(chunked.text)).toMatchObject(await digest(body));
      const none = await send(good, "/", { method: "DELETE" });
      expect(JSON.parse(none.text)).toMatchObject({ method: "DELETE", length: 0 });
    });

    test("HEAD, and many on kept connections", async () => {
      const agent = new Agent({ keepAlive: true, maxSockets: 4 });
      const head = await send(good, "/", { method: "HEAD", agent });
      expect(head).toMatchObject({ status: 200, text: "" });
      const many = await Promise.all(Array.from({ length: 60 }, (_, n) => send(good, `/${n}`, { agent })));
      expect(many.map(({ text }) => JSON.parse(text).url)).toEqual(many.map((_, n) => `/${n}`));
      agent.destroy();
    });

    if (sockets) {
      test("WebSocket through it", async () => {
        const socket = new WebSocket(`ws+unix://${good.socketPath}:/chat`);
        const answer = await new Promise((resolve, reject) => {
          socket.on("open", () => socket.send("hello"));
          socket.on("message", (data: Buffer) => resolve(`${data}`)).on("error", reject);
        });
        expect(answer).toBe("got hello");
        socket.terminate();
      });
    }
  });
}

describeWith("haproxy", ["-v"], "haproxy with and by certificates of an unknown authority", () => {
  test("gets no answer from the mesh port with one of them", async () => {
    const stranger = strangerSvid(meshes.stateDir);
    const { roots } = await exportSvid(meshes.stateDir, "roots");
    const front = { socketPath: join(meshes.stateDir, "stranger.sock"), credentials: { ...stranger, roots } };
    await haproxy(front, "h2");
    // HAProxy says so, or hangs up: that depends on when the refusal reaches it.
    const status = await send(front, "/").then(
      (response) => response.status,
      (error: NodeJS.ErrnoException) => error.code,
    );
    expect(status).toBeOneOf([502, 503, "ECONNRESET"]);
  });

  test("doesn't send a request to a mesh port whose authority it doesn't know", async () => {
    const { roots } = strangerSvid(meshes.stateDir);
    const credentials = { ...(await exportSvid(meshes.stateDir, "unbelieving")), roots };
    const front = { socketPath: join(meshes.stateDir, "unbelieving.sock"), credentials };
    await haproxy(front, "h2");
    expect((await send(front, "/")).status).toBe(503);
  });
});
