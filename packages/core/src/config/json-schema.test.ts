import { expect, test } from "vitest";
import { configJsonSchema } from "./json-schema.js";

test("durations are numbers or text, and defaults are there as they would be written", () => {
  const schema = configJsonSchema() as { properties: Record<string, { properties: Record<string, unknown> }> };
  expect(schema.properties["drain"]?.properties["timeout"]).toMatchObject({
    type: ["string", "number"],
    default: "30s",
  });
  expect(schema.properties["inbound"]?.properties["port"]).toMatchObject({ type: "integer", default: 4143 });
});
