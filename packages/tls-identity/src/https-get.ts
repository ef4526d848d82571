import type { IncomingMessage } from "node:http";
import type { RequestOptions } from "node:https";

/** How {@link httpsGet} asks. */
export interface HttpsGetOptions {
  /** How the server is believed. */
  readonly tls: Pick<RequestOptions, "ca" | "minVersion" | "servername" | "checkServerIdentity">;
  /** Of the whole exchange, the body included. */
  readonly timeoutMs: number;
  /** A longer body is an error. */
  readonly maxBytes: number;
}

/**
 * Gets a small document. Follows no redirect, since that would hand the choice of the server to the server. Rejects unless the whole
 * of it came with status 200 in time.
 */
export async function httpsGet(url: URL, options: HttpsGetOptions): Promise<string> {
  const { request } = await import("node:https");
  const signal = AbortSignal.timeout(options.timeoutMs);
  try {
    const response = await new Promise<IncomingMessage>((resolve, reject) => {
      request(url, { ...options.tls, agent: false, signal }, resolve)
        .on("error", reject)
        .end();
    });
    const { statusCode = 0 } = response;
    if (statusCode !== 200) {
      response.destroy();
      const isRedirect = statusCode >= 300 && statusCode < 400;
      throw new Error(`status ${statusCode}${isRedirect ? "; redirects are not followed" : ""}`);
    }
    return await readBounded(response, options.maxBytes);
  } catch (cause) {
    if (signal.aborted) throw new Error(`no answer within ${options.timeoutMs} ms`, { cause });
    throw cause;
  }
}

async function readBounded(response: IncomingMessage, maxBytes: number): Promise<string> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    length += chunk.length;
    // Leaving the loop ends the connection.
    if (length > maxBytes) throw new Error(`more than ${maxBytes} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}
