import { once } from "node:events";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { SecureContextOptions } from "node:tls";
import { writeBundleDocument } from "../bundle-document.js";
import { IdentityError } from "../identity-error.js";
import { exportPrivateKeyPem } from "../key.js";
import type { SpiffeId } from "../spiffe-id.js";
import { readTogether } from "../stable-files.js";
import type { IdentityService } from "./identity-service.js";
import { ownIdentity } from "./own-identity.js";

/** Options of {@link serveBundle}. */
export interface BundleEndpointOptions {
  readonly service: IdentityService;
  /** Who the endpoint is to those who ask by `https_spiffe`. */
  readonly id: SpiffeId;
  /** @defaultValue all addresses */
  readonly host?: string;
  /** 0 for any */
  readonly port: number;
  /**
   * PEM files of a certificate of the public web and its key, for `https_web`; read again every minute. Without them the endpoint shows
   * an SVID, for `https_spiffe`.
   */
  readonly web?: { readonly cert: string; readonly key: string };
  /** What askers are told of when to ask again, where the bundle itself says nothing. @defaultValue 300000 */
  readonly refreshHintMs?: number;
}

/** A running bundle endpoint. */
export interface RunningBundleEndpoint {
  readonly port: number;
  close(): Promise<void>;
}

/** Where the document is, on an endpoint of ours. Others may have it elsewhere: the URL is part of what two domains agree on. */
export const bundlePath = "/bundle";

const refreshHintDefaultMs = 300_000;
const webRereadMs = 60_000;
const maxConnections = 1_024;

/**
 * Serves the trust bundle of an identity service to other trust domains (SPIFFE Federation, section 5): `GET /bundle` is its SPIFFE
 * bundle document, as it is now. It tells nothing else, and asks nobody who they are: a bundle is public. Rejects if it can't listen or
 * its certificate can't be read.
 */
export async function serveBundle(options: BundleEndpointOptions): Promise<RunningBundleEndpoint> {
  const { service, web } = options;
  const { createServer } = await import("node:https");
  await service.loaded();
  const closers: (() => void)[] = [];
  const server = createServer({ handshakeTimeout: 10_000, requestTimeout: 10_000, maxHeaderSize: 8_192 });
  try {
    if (web === undefined) {
      if (service.issuer === null) throw new IdentityError("authority-expired", service.status.blockers.join(", "));
      const own = ownIdentity(service, options.id);
      closers.push(() => own.close());
      const present = ({ chainPem, key }: Awaited<ReturnType<typeof own.ready>>) =>
        server.setSecureContext({ cert: chainPem, key: exportPrivateKeyPem(key), minVersion: "TLSv1.3" });
      present(await own.ready());
      closers.push(own.subscribe(present));
    } else {
      server.setSecureContext(await webContext(web));
      const timer = setInterval(() => {
        // A pair that can't be read leaves the one before in force: it is being replaced, or a person has to look.
        webContext(web).then(
          (context) => server.setSecureContext(context),
          () => {},
        );
      }, webRereadMs).unref();
      closers.push(() => clearInterval(timer));
    }
    server.on("request", (request, response) => answer(service, options, request, response));
    server.on("tlsClientError", (_error, socket) => socket.on("error", () => {}));
    server.maxConnections = maxConnections;
    server.listen(options.port, options.host);
    await once(server, "listening");
    server.on("error", () => {});
  } catch (error) {
    for (const close of closers) close();
    throw error;
  }
  return {
    port: (server.address() as AddressInfo).port,
    close: async () => {
      for (const close of closers) close();
      server.close();
      server.closeAllConnections();
    },
  };
}

async function webContext({
  cert,
  key,
}: {
  readonly cert: string;
  readonly key: string;
}): Promise<SecureContextOptions> {
  const [keyPem, certPem] = await readTogether([key, cert], key);
  return { cert: certPem!, key: keyPem!, minVersion: "TLSv1.2" };
}

function answer(
  service: IdentityService,
  options: BundleEndpointOptions,
  request: IncomingMessage,
  response: ServerResponse,
): void {
  response.setHeader("connection", "close");
  if (request.url !== bundlePath) response.writeHead(404).end();
  else if (request.method !== "GET" && request.method !== "HEAD") response.writeHead(405, { allow: "GET, HEAD" }).end();
  else if (service.issuer === null) response.writeHead(503).end();
  else {
    const { bundle } = service.issuer;
    const refreshHintMs = bundle.refreshHintMs ?? options.refreshHintMs ?? refreshHintDefaultMs;
    response.writeHead(200, { "content-type": "application/json" });
    response.end(writeBundleDocument({ ...bundle, refreshHintMs }));
  }
}
