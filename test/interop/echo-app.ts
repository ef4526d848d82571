import type { RequestListener } from "node:http";
import { peerOf } from "@selvage/core";
import { digest } from "./bytes.js";

/** Tells what reached it: for clients that are whole programs. */
export const echoApp: RequestListener = async (req, res) => {
  res.on("error", () => {});
  try {
    const { method, url, httpVersion, headers } = req;
    const body = await digest(req);
    const { encrypted } = req.socket as typeof req.socket & { encrypted?: boolean };
    const peer = peerOf(req)?.toString() ?? null;
    const answer = {
      method,
      url,
      httpVersion,
      headers,
      ...body,
      encrypted: encrypted === true,
      peer,
      trailers: req.trailers,
    };
    res.setHeader("content-type", "application/json").setHeader("x-two", ["one", "two"]);
    res.end(`${JSON.stringify(answer)}\n`);
  } catch {
    res.destroy();
  }
};
