import type { KeyObject } from "node:crypto";
import { createSecureContext, type PeerCertificate } from "node:tls";
import type { ServiceError } from "@grpc/grpc-js";
import { AbortError } from "p-retry";
import {
  type CertifyRequest,
  type CertifyResponse,
  certifyPath,
  readCertifyResponse,
  writeCertifyRequest,
} from "./certify-rpc.js";
import { IdentityError } from "./identity-error.js";
import type { TrustBundle } from "./identity-source.js";
import { exportPrivateKeyPem } from "./key.js";
import { leafOf } from "./peer-identity.js";
import { writeCertificatesPem } from "./pem.js";
import type { SpiffeId } from "./spiffe-id.js";
import { admitLeaf } from "./verify.js";

/** One call of an identity service. */
export interface CertifyCall {
  /** `host:port`. */
  readonly target: string;
  readonly serverId: SpiffeId;
  /** By which the service is believed. */
  readonly bundle: TrustBundle;
  /** What to show as the own certificate, if anything. */
  readonly own: { readonly chain: readonly Uint8Array[]; readonly key: KeyObject } | null;
  readonly request: CertifyRequest;
  readonly timeoutMs: number;
}

// INVALID_ARGUMENT, NOT_FOUND, PERMISSION_DENIED, FAILED_PRECONDITION, UNIMPLEMENTED, UNAUTHENTICATED: asking again at once is no use.
const refusals = new Set([3, 5, 7, 9, 12, 16]);

/**
 * Calls `Certify` once, on a channel of its own, so that each call verifies the service by the bundle of its day. Throws
 * `certify-failed`, or `certify-refused` wrapped so that p-retry does not try again.
 */
export async function callCertify(call: CertifyCall): Promise<CertifyResponse> {
  const grpc = await import("@grpc/grpc-js");
  const key = call.own === null ? null : exportPrivateKeyPem(call.own.key);
  const context = createSecureContext({
    ca: writeCertificatesPem(call.bundle.roots),
    minVersion: "TLSv1.3",
    ...(call.own && key && { key, cert: writeCertificatesPem(call.own.chain) }),
  });
  key?.fill(0);
  const { serverId } = call;
  const checkServerIdentity = (_host: string, certificate: PeerCertificate) => {
    try {
      admitLeaf(leafOf(certificate.raw), { now: Date.now(), expected: serverId, dnsTrustDomain: serverId.trustDomain });
      return undefined;
    } catch (error) {
      return error as Error;
    }
  };
  const credentials = grpc.ChannelCredentials.createFromSecureContext(context, { checkServerIdentity });
  const client = new grpc.Client(call.target, credentials, {
    // An address as server name would be deprecated, and Linkerd's servers want their own.
    "grpc.ssl_target_name_override": serverId.kind === "dns" ? serverId.toString() : "identity.selvage",
    "grpc.use_local_subchannel_pool": 1,
  });
  try {
    const options = { deadline: Date.now() + call.timeoutMs };
    const request = writeCertifyRequest(call.request);
    const message = await new Promise<Buffer>((resolve, reject) => {
      client.makeUnaryRequest(certifyPath, same, same, request, options, (error, response) => {
        if (error !== null) reject(refusalOf(call.target, error));
        else resolve(response!);
      });
    });
    return readCertifyResponse(message);
  } finally {
    client.close();
  }
}

function same(message: Buffer): Buffer {
  return message;
}

function refusalOf(target: string, error: ServiceError): Error {
  const refused = refusals.has(error.code);
  const reason = refused ? "certify-refused" : "certify-failed";
  const failure = new IdentityError(reason, `the identity service at ${target}: ${error.message}`, { cause: error });
  return refused ? new AbortError(failure) : failure;
}
