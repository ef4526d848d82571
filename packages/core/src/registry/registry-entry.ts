import * as z from "zod";

/** What one process says of one port it serves: a file of the local registry. */
const shape = z.strictObject({
  version: z.literal(1),
  authority: z.string().min(1),
  address: z.string().regex(/^(\[[0-9a-fA-F:.]+\]|[^:\s]+):\d{1,5}$/, "must be host:port"),
  identity: z.string().startsWith("spiffe://"),
  pid: z.int().positive(),
  start: z.string(),
});

export type RegistryEntry = z.infer<typeof shape>;

/** Reads the text of a registry file. Throws an Error that says what is wrong with it. */
export function parseRegistryEntry(text: string): RegistryEntry {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new Error("is not JSON");
  }
  const result = shape.safeParse(value);
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  throw new Error(`${issue?.path.join(".") || "document"}: ${issue?.message ?? "invalid"}`);
}
