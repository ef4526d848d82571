// Three workloads in one process, for brevity: a service with rules, a caller they allow, and one they don't.
import { createMesh } from "@selvage/core";

const ledger = await createMesh({
  workload: { name: "ledger", namespace: "bank" },
  inbound: {
    policy: {
      default: "deny",
      rules: [
        {
          name: "teller-reads",
          action: "allow",
          from: ["spiffe://dev.selvage/ns/bank/sa/teller"],
          methods: ["GET"],
          paths: ["/accounts/*"],
        },
      ],
    },
  },
});
const server = ledger.createServer((_req, res) => res.end("balance: 7\n"));
await new Promise((resolve) => server.listen(0, resolve));

for (const name of ["teller", "visitor"]) {
  const mesh = await createMesh({ workload: { name, namespace: "bank" } });
  for (const method of ["GET", "DELETE"]) {
    const response = await mesh.fetch("http://ledger/accounts/1", { method });
    console.log(`${name} ${method} → ${response.status} ${(await response.text()).trim()}`);
  }
  await mesh.close();
}
await ledger.close();
