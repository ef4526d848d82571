import { describe, expect, test } from "vitest";
import { issueLeaf } from "./authority.js";
import { parseDer } from "./der.js";
import { IdentityError } from "./identity-error.js";
import { exportSpki, generateKey } from "./key.js";
import { createRotation } from "./rotation.js";
import { createSnapshot, type SvidMaterial } from "./snapshot.js";
import { SpiffeId } from "./spiffe-id.js";
import { createTestClock } from "./testing/test-clock.js";
import { createTestTrust, testPeerId } from "./testing/test-trust.js";

const hour = 3_600_000;
const minute = 60_000;
const trust = createTestTrust();

function svid(now: number, lifetimeMs = 24 * hour): SvidMaterial {
  const pair = generateKey();
  const leaf = issueLeaf(trust.a.issuer, testPeerId, parseDer(exportSpki(pair.publicKey), 512), { now, lifetimeMs });
  return {
    chain: [leaf, trust.a.issuer.certificate.raw],
    key: pair.privateKey,
    bundles: new Map([["a.example", trust.a.bundle]]),
  };
}

function setUp(obtain: (now: number) => Promise<SvidMaterial>, random = 0) {
  const clock = createTestClock(trust.now);
  const failures: Error[] = [];
  const generations: number[] = [];
  let attempts = 0;
  let wrongByMs = 0;
  const rotation = createRotation({
    now: () => clock.now() + wrongByMs,
    schedule: clock.schedule,
    random: () => random,
    obtain: () => {
      attempts++;
      return obtain(clock.now());
    },
  });
  rotation.onFailure((error) => failures.push(error));
  rotation.subscribe((snapshot) => generations.push(snapshot.generation));
  /** The wall clock is wrong by so much from now on; timers don't notice. */
  const jump = (ms: number) => {
    wrongByMs = ms;
  };
  return { clock, failures, generations, rotation, attempts: () => attempts, jump };
}

describe("a rotation", () => {
  test("renews before half of the lifetime, with jitter, and never overlaps an alarm", async () => {
    for (const random of [0, 0.99]) {
      const { clock, failures, generations, rotation } = setUp(async (now) => svid(now), random);
      await clock.advance(9 * hour);
      expect(generations).toEqual([1]);
      await clock.advance(3 * hour);
      expect(generations).toEqual([1, 2]);
      await clock.advance(5 * 24 * hour);
      expect(generations.length).toBeGreaterThanOrEqual(11);
      expect(failures).toEqual([]);
      rotation.close();
    }
  });

  test("keeps the last good SVID while renewal fails, retries with backoff, and raises three alarms", async () => {
    let broken = false;
    const { clock, failures, rotation, attempts } = setUp(async (now) => {
      if (broken) throw new IdentityError("certify-failed", "authority is away");
      return svid(now);
    });
    await clock.advance(0);
    const first = rotation.current;
    broken = true;
    await clock.advance(24 * hour - 1);
    expect(rotation.current).toBe(first);
    const alarms = failures.filter((error) => IdentityError.is(error) && error.reason === "svid-renewal-late");
    expect(alarms.map((error) => error.message.slice(0, 4))).toEqual(["50 %", "25 %", "10 %"]);
    // About one attempt a minute for half a day, not thousands.
    expect(attempts()).toBeGreaterThan(700);
    expect(attempts()).toBeLessThan(800);
    broken = false;
    await clock.advance(2 * minute);
    expect(rotation.current?.generation).toBe(2);
    rotation.close();
  });

  test("comes back soon after failures while the SVID is short-lived", async () => {
    let broken = false;
    const { clock, rotation, attempts } = setUp(async (now) => {
      if (broken) throw new IdentityError("certify-failed", "authority is away");
      return svid(now, minute);
    });
    await clock.advance(0);
    broken = true;
    await clock.advance(50_000);
    broken = false;
    const before = attempts();
    // Else it would end before the next attempt.
    await clock.advance(8_000);
    expect([rotation.current?.generation, attempts() - before]).toEqual([2, 1]);
    rotation.close();
  });

  test("renews soon after the wall clock has jumped beyond the time for it, as after a machine's sleep", async () => {
    let sleptMs = 0;
    const { clock, generations, rotation, jump } = setUp(async (now) => svid(now + sleptMs, hour));
    await clock.advance(0);
    sleptMs = 8 * hour;
    jump(sleptMs);
    await clock.advance(30_000);
    expect(generations).toEqual([1, 2]);
    rotation.close();
  });

  test("renews soon after a clock that was fast is right again, what was made meanwhile being of the future", async () => {
    let fastMs = hour;
    const { clock, generations, rotation, jump } = setUp(async (now) => svid(now + fastMs, hour));
    jump(fastMs);
    await clock.advance(0);
    fastMs = 0;
    jump(0);
    await clock.advance(30_000);
    expect(generations).toEqual([1, 2]);
    rotation.close();
  });

  test("isn't kept from renewing by a wall clock that has jumped back", async () => {
    const { clock, generations, rotation, jump } = setUp(async (now) => svid(now, hour));
    await clock.advance(0);
    jump(-50_000);
    await clock.advance(hour / 2);
    expect(generations).toEqual([1, 2]);
    rotation.close();
  });

  test("waits out failures at the start, but rejects at once where only a person can help", async () => {
    let reason: "certify-failed" | "source-options" = "certify-failed";
    const { clock, rotation, failures } = setUp(async () => {
      throw new IdentityError(reason, "no");
    });
    const ready = rotation.ready().catch((error: unknown) => error);
    await clock.advance(minute);
    expect(failures.length).toBeGreaterThan(3);
    reason = "source-options";
    await clock.advance(2 * minute);
    expect(await ready).toMatchObject({ reason: "source-options" });
    rotation.close();
  });

  test("publishes nothing that a peer would refuse", async () => {
    const other = createTestTrust().a;
    const wrong: ((now: number) => SvidMaterial)[] = [
      (now) => ({ ...svid(now), key: generateKey().privateKey }),
      (now) => ({ ...svid(now), bundles: new Map([["b.example", trust.b.bundle]]) }),
      (now) => ({ ...svid(now), bundles: new Map([["a.example", other.bundle]]) }),
      (now) => ({ ...svid(now), bundles: new Map([["a.example", { trustDomain: "a.example", roots: [] }]]) }),
      (now) => ({
        ...svid(now),
        bundles: new Map([["a.example", { trustDomain: "a.example", roots: [svid(now).chain[0]!] }]]),
      }),
      (now) => ({ ...svid(now), chain: [] }),
      (now) => {
        const good = svid(now);
        return { ...good, chain: good.chain.slice(0, 1) };
      },
      (now) => {
        const good = svid(now);
        return { ...good, chain: [good.chain[0]!, trust.b.issuer.certificate.raw] };
      },
      (now) => svid(now - 25 * hour),
      (now) => ({
        ...svid(now),
        bundles: new Map([...svid(now).bundles, ["b.example", { trustDomain: "b.example", roots: [] }]]),
      }),
    ];
    const reasons: string[] = [];
    for (const make of wrong) {
      const { clock, failures, rotation } = setUp(async (now) => make(now));
      await clock.advance(0);
      expect(rotation.current).toBeNull();
      reasons.push((failures[0] as IdentityError).reason);
      rotation.close();
    }
    expect(reasons).toEqual([
      "svid-key-mismatch",
      "bundle-missing",
      "chain-untrusted",
      "bundle-empty",
      "bundle-root-not-authority",
      "chain-empty",
      "chain-untrusted",
      "chain-signature",
      "leaf-expired",
      "bundle-empty",
    ]);
  });

  test("publishes no SVID of somebody else", () => {
    const expected = SpiffeId.parse("spiffe://a.example/ns/test/sa/other");
    const terms = { generation: 1, now: trust.now };
    expect(createSnapshot(svid(trust.now), { ...terms, expected: testPeerId }).id).toBe(testPeerId);
    expect(() => createSnapshot(svid(trust.now), { ...terms, expected })).toThrow(
      expect.objectContaining({ reason: "svid-id-mismatch" }),
    );
  });

  test("gives an attempt up that takes too long, and makes another", async () => {
    let calls = 0;
    const { clock, failures, generations, rotation } = setUp(async (now) =>
      calls++ === 0 ? new Promise(() => {}) : svid(now),
    );
    await clock.advance(29_999);
    expect(failures).toEqual([]);
    await clock.advance(2000);
    expect([failures.map((error) => error.message), generations]).toEqual([["no SVID within 30000 ms"], [1]]);
    rotation.close();
  });

  test("after close does nothing more, and rejects who still waits", async () => {
    const { clock, rotation, attempts } = setUp(async () => new Promise(() => {}));
    const ready = rotation.ready();
    rotation.close();
    rotation.close();
    rotation.renew();
    await expect(ready).rejects.toMatchObject({ reason: "source-closed" });
    await clock.advance(24 * hour);
    expect([attempts(), clock.pending.length]).toEqual([1, 0]);
  });

  test("is not disturbed by a listener that throws, and reports it", async () => {
    const { clock, generations, failures, rotation } = setUp(async (now) => svid(now));
    const end = rotation.subscribe(() => {
      throw new Error("mine");
    });
    rotation.subscribe((snapshot) => generations.push(snapshot.generation));
    await clock.advance(0);
    expect([generations, failures.map((error) => error.message)]).toEqual([[1, 1], ["mine"]]);
    end();
    await clock.advance(12 * hour);
    expect([generations, failures.length]).toEqual([[1, 1, 2, 2], 1]);
    rotation.close();
  });
});
