import { refuseSpiffeId, refuseTrustDomain } from "@selvage/policy";
import * as z from "zod";
import { checked, duration, port, text } from "../config/field.js";
import { remade } from "../config/remade.js";

const keys = checked((value) => {
  if (value.startsWith("http://"))
    return { problem: "must not be plaintext", remedy: `write "https://${value.slice(7)}", or the path of a file` };
  if (!value.startsWith("https://")) return null;
  const url = URL.canParse(value) ? new URL(value) : null;
  if (url === null) return { problem: "must be an https URL or the path of a file", remedy: "" };
  if (url.username === "" && url.password === "" && url.hash === "") return null;
  return { problem: "must not have user or fragment", remedy: `write "${url.origin}${url.pathname}${url.search}"` };
});

/** What `selvage identity serve` reads. Everything may be left out but the directory. */
export const identityServiceSchema = remade(() =>
  z.strictObject({
    directory: text,
    trustDomain: checked(refuseTrustDomain).optional(),
    id: checked(refuseSpiffeId).optional(),
    host: text.optional(),
    port: port.optional(),
    rules: text.optional(),
    jwt: z.array(z.strictObject({ issuer: text, audience: text.optional(), keys })).optional(),
    joinTokens: text.optional(),
    kubernetes: z.union([z.boolean(), z.strictObject({ audience: text.optional() })]).optional(),
    renewBySvid: z.boolean().optional(),
    lifetime: duration.refine((ms) => ms >= 1000, { error: "must be at least 1s" }).optional(),
    audit: text.optional(),
    bundleEndpoint: z
      .strictObject({ port, cert: text.optional(), key: text.optional() })
      .refine(({ cert, key }) => (cert === undefined) === (key === undefined), {
        error: "must have both of cert and key, or none of them",
      })
      .optional(),
    admin: z.union([z.literal(false), z.strictObject({ host: text.optional(), port: port.optional() })]).optional(),
  }),
);

export type CheckedServiceOptions = z.output<ReturnType<typeof identityServiceSchema>>;
