import * as z from "zod";
import { field, positiveDuration, required } from "./field.js";
import { remade } from "./remade.js";

const share = z.number().min(0).max(1);

export const defaultFaultRatio = 1;
export const defaultFaultStatus = 503;
/** UNAVAILABLE */
export const defaultFaultGrpcStatus = 14;

/** What a route does to requests on purpose. */
export const faultSchema = remade(() =>
  z
    .strictObject({
      delay: field(
        z.strictObject({
          duration: required(positiveDuration, { doc: "wait before the request goes on" }),
          ratio: field(share, { doc: "share of the requests", unit: "ratio", default: defaultFaultRatio }),
        }),
        { doc: "makes requests wait, within their timeout", optional: true },
      ),
      abort: field(
        z.strictObject({
          status: field(z.int().min(400).max(599), { doc: "answer to HTTP requests", default: defaultFaultStatus }),
          grpcStatus: field(z.int().min(1).max(16), {
            doc: "answer to gRPC requests",
            default: defaultFaultGrpcStatus,
          }),
          ratio: field(share, { doc: "share of the requests", unit: "ratio", default: defaultFaultRatio }),
        }),
        { doc: "answers requests instead of sending them; not retried", optional: true },
      ),
    })
    .superRefine((fault, context) => {
      if (fault.delay !== undefined || fault.abort !== undefined) return;
      const params = { remedy: "write delay, abort, or both" };
      context.addIssue({ code: "custom", message: "must say what to do", params });
    }),
);
