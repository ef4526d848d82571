import type { BodySink, HeaderList } from "@selvage/http2";
import { TestBody } from "@selvage/http2/testing";
import fc from "fast-check";
import { expect, test } from "vitest";
import { ReplayBody } from "./replay-body.js";

class Reader implements BodySink {
  text = "";
  ended = false;
  trailers: HeaderList | null = null;
  onChunk: () => void = () => {};

  onData(chunk: Uint8Array): void {
    expect(this.ended).toBe(false);
    this.text += Buffer.from(chunk).toString();
    this.onChunk();
  }

  onEnd(trailers: HeaderList | null): void {
    expect(this.ended).toBe(false);
    this.ended = true;
    this.trailers = trailers;
  }
}

test("the first attempt gets chunks as they come, the second all of them again", () => {
  const source = new TestBody();
  const replay = new ReplayBody(source, 100);
  const first = new Reader();
  const attempt = replay.attempt();
  attempt.pipe(first);
  source.push("ab");
  expect(first.text).toBe("ab");
  attempt.cancel();
  expect(source.paused).toBe(true);
  const second = new Reader();
  replay.attempt().pipe(second);
  expect(second.text).toBe("ab");
  source.push("cd");
  source.end(["t", "1"]);
  expect(second).toMatchObject({ text: "abcd", ended: true, trailers: ["t", "1"] });
  expect(first.text).toBe("ab");
});

test("a body that grows too long goes on, but can't be replayed", () => {
  const source = new TestBody();
  const replay = new ReplayBody(source, 3);
  const reader = new Reader();
  replay.attempt().pipe(reader);
  source.push("abc");
  expect(replay.replayable).toBe(true);
  source.push("d");
  expect(replay.replayable).toBe(false);
  source.push("e");
  source.end();
  expect(reader).toMatchObject({ text: "abcde", ended: true });
});

test("a body that is declared too long can be sent by another attempt as long as none has read it", () => {
  const source = new TestBody(10);
  const replay = new ReplayBody(source, 3);
  replay.attempt().cancel();
  expect(source.cancelled).toBe(false);
  expect(replay.replayable).toBe(true);
  const reader = new Reader();
  replay.attempt().pipe(reader);
  source.push("0123456789");
  source.end();
  expect(replay.replayable).toBe(false);
  expect(reader).toMatchObject({ text: "0123456789", ended: true });
});

test("once it can't be replayed, an attempt that doesn't want the rest cancels the source", () => {
  const source = new TestBody();
  const replay = new ReplayBody(source, 1);
  const attempt = replay.attempt();
  attempt.pipe(new Reader());
  source.push("ab");
  attempt.cancel();
  expect(source.cancelled).toBe(true);
});

test("after the head is passed on nothing is kept, and cancelling reaches the source", () => {
  const source = new TestBody();
  const replay = new ReplayBody(source, 100);
  const attempt = replay.attempt();
  const reader = new Reader();
  attempt.pipe(reader);
  source.push("ab");
  replay.commit();
  source.push("cd");
  expect(reader.text).toBe("abcd");
  expect(replay.replayable).toBe(false);
  attempt.cancel();
  expect(source.cancelled).toBe(true);
});

test("a source that was read to its end is not cancelled", () => {
  const source = new TestBody();
  const replay = new ReplayBody(source, 100);
  replay.attempt().pipe(new Reader());
  source.end();
  replay.release();
  expect(source.cancelled).toBe(false);
});

test("a slow second attempt pauses the replay and the source, and loses nothing", () => {
  const source = new TestBody();
  const replay = new ReplayBody(source, 100);
  const first = replay.attempt();
  first.pipe(new Reader());
  for (const chunk of ["a", "b", "c"]) source.push(chunk);
  first.cancel();
  const reader = new Reader();
  const second = replay.attempt();
  reader.onChunk = () => second.pause();
  second.pipe(reader);
  expect([reader.text, source.paused]).toEqual(["a", true]);
  replay.commit();
  source.push("d");
  source.end();
  for (let i = 0; i < 4; i++) second.resume();
  expect(reader).toMatchObject({ text: "abcd", ended: true });
});

test("whatever happens in whichever order, an attempt reads a prefix of the body, and the last one all of it", () => {
  const step = fc.constantFrom("push", "big", "end", "pause", "resume", "retry", "commit");
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), fc.integer({ min: 0, max: 12 }), (steps, maxBytes) => {
      const source = new TestBody();
      const replay = new ReplayBody(source, maxBytes);
      let sent = "";
      let ended = false;
      let committed = false;
      let attempt = replay.attempt();
      let reader = new Reader();
      attempt.pipe(reader);
      for (const [i, name] of steps.entries()) {
        if ((name === "push" || name === "big") && !ended) {
          const chunk = String.fromCharCode(97 + (i % 26)).repeat(name === "push" ? 1 : 5);
          sent += chunk;
          source.push(chunk);
        } else if (name === "end" && !ended) {
          ended = true;
          source.end();
        } else if (name === "pause") attempt.pause();
        else if (name === "resume") attempt.resume();
        else if (name === "commit") {
          committed = true;
          replay.commit();
        } else if (name === "retry" && replay.replayable && !committed) {
          attempt.cancel();
          attempt = replay.attempt();
          reader = new Reader();
          attempt.pipe(reader);
        }
        expect(sent.startsWith(reader.text)).toBe(true);
      }
      attempt.pause();
      attempt.resume();
      expect(reader.text).toBe(sent);
      expect(reader.ended).toBe(ended);
    }),
    { numRuns: 1_000 },
  );
});
