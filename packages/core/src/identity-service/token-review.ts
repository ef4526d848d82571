import { readFile } from "node:fs/promises";
import { join } from "node:path";

const mount = "/var/run/secrets/kubernetes.io/serviceaccount";
const timeoutMs = 5000;
const maxBytes = 1 << 20;

/** Where the API server is, and with what to come to it. */
export interface ApiServer {
  readonly host: string;
  readonly port: number;
  /** Holds `token` and `ca.crt`; both are read for each call, since both are renewed. */
  readonly directory: string;
}

/** The API server of the cluster that this process runs in. Throws if it runs in none. */
export function clusterApiServer(env: Readonly<Record<string, string | undefined>>): ApiServer {
  const host = env["KUBERNETES_SERVICE_HOST"];
  if (host === undefined)
    throw new Error("kubernetes: KUBERNETES_SERVICE_HOST is not set; this works in a pod of the cluster only");
  return {
    host,
    port: Number(env["KUBERNETES_SERVICE_PORT_HTTPS"] ?? env["KUBERNETES_SERVICE_PORT"] ?? 443),
    directory: mount,
  };
}

/**
 * Posts a TokenReview to the API server and resolves with its answer. Needs the cluster role `system:auth-delegator`. Rejects
 * when the API does not answer 200 or 201 within 5 s.
 */
export function tokenReviewer(server: ApiServer): (review: object, signal: AbortSignal) => Promise<unknown> {
  return async (review, signal) => {
    const { request } = await import("node:https");
    const [token, ca] = await Promise.all([
      readFile(join(server.directory, "token"), "utf8"),
      readFile(join(server.directory, "ca.crt"), "utf8"),
    ]);
    const body = JSON.stringify(review);
    return await new Promise((resolve, reject) => {
      const post = request({
        host: server.host,
        port: server.port,
        ca,
        method: "POST",
        path: "/apis/authentication.k8s.io/v1/tokenreviews",
        headers: {
          authorization: `Bearer ${token.trim()}`,
          "content-type": "application/json",
          "content-length": Buffer.byteLength(body),
        },
        signal,
        timeout: timeoutMs,
        agent: false,
      });
      post.on("timeout", () => post.destroy(new Error(`the Kubernetes API did not answer within ${timeoutMs} ms`)));
      post.on("error", reject);
      post.on("response", (response) => {
        const chunks: Buffer[] = [];
        let length = 0;
        response.on("error", reject);
        response.on("data", (chunk: Buffer) => {
          length += chunk.length;
          if (length > maxBytes) post.destroy(new Error("the Kubernetes API answered with more than 1 MiB"));
          else chunks.push(chunk);
        });
        response.on("end", () => {
          const { statusCode = 0 } = response;
          if (statusCode !== 200 && statusCode !== 201) {
            const remedy = statusCode === 403 ? "; bind the cluster role system:auth-delegator" : "";
            return reject(new Error(`the Kubernetes API answered ${statusCode} to a TokenReview${remedy}`));
          }
          try {
            resolve(JSON.parse(Buffer.concat(chunks).toString("utf8")));
          } catch (error) {
            reject(error as Error);
          }
        });
      });
      post.end(body);
    });
  };
}
