import { expect, test } from "vitest";
import { ListResolver } from "./list-resolver.js";
import type { EndpointAddress } from "./resolver.js";

const address = (host: string): EndpointAddress => ({ host, port: 1, identity: null });

test("listeners get the list at once, each new one, and nothing after they closed", () => {
  const resolver = new ListResolver([address("a")]);
  const seen: string[] = [];
  const watch = resolver.watch({
    onUpdate: (set) => void seen.push(set.map(({ host }) => host).join()),
    onFailure: () => {},
  });
  resolver.set([address("a"), address("b")]);
  watch.close();
  resolver.set([]);
  expect(seen).toEqual(["a", "a,b"]);
});
