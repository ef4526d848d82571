import { STATUS_CODES } from "node:http";
import type { Exchange, HeaderList } from "../../exchange.js";
import { type RequestInternals, type ResponseInternals, ResponseMessage } from "./client-internals.js";
import type { ClientSocket } from "./client-socket.js";

/** A genuine IncomingMessage for the head of a response. */
export function makeResponse(
  x: Exchange,
  req: RequestInternals,
  socket: ClientSocket,
  status: number,
  headers: HeaderList,
): ResponseInternals {
  const res = new ResponseMessage(socket);
  const old = x.responseVersion === "1.0";
  res.httpVersion = old ? "1.0" : "1.1";
  res.httpVersionMajor = 1;
  res.httpVersionMinor = old ? 0 : 1;
  res.statusCode = status;
  res.statusMessage = STATUS_CODES[status] ?? "";
  res.upgrade = false;
  res.joinDuplicateHeaders = req.joinDuplicateHeaders === true;
  res.req = req;
  const { maxHeadersCount } = req;
  const count = typeof maxHeadersCount === "number" && maxHeadersCount > 0 ? maxHeadersCount * 2 : headers.length;
  const lines = headers.slice(0, count);
  const names = x.responseHeaderCase;
  if (names !== null) for (let i = 0; i < lines.length; i += 2) lines[i] = names.get(lines[i]!) ?? lines[i]!;
  res._addHeaderLines(lines, lines.length);
  return res;
}

/** What 'information' is emitted with. */
export function informationOf(res: ResponseInternals): object {
  const { statusCode, statusMessage, httpVersion, httpVersionMajor, httpVersionMinor, headers, rawHeaders } = res;
  return { statusCode, statusMessage, httpVersion, httpVersionMajor, httpVersionMinor, headers, rawHeaders };
}
