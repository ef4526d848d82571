import { expect, test } from "vitest";
import type { Clock } from "../../clock.js";
import { DeadlineList, type Timed } from "./deadline-list.js";

class OneTimer implements Clock {
  time = 0;
  due: { callback: () => void; at: number } | null = null;

  now(): number {
    return this.time;
  }

  epoch(): number {
    return this.time;
  }

  setTimer(callback: () => void, delayMs: number): unknown {
    this.due = { callback, at: this.time + delayMs };
    return this.due;
  }

  clearTimer(): void {
    this.due = null;
  }

  to(time: number): void {
    this.time = time;
    const due = this.due;
    if (due === null || due.at > time) return;
    this.due = null;
    due.callback();
  }
}

class Member implements Timed {
  deadlineAt: number;
  earlier: Timed | null = null;
  later: Timed | null = null;
  timed = false;
  passed = 0;
  onPass: () => void = () => {};

  constructor(deadlineAt: number) {
    this.deadlineAt = deadlineAt;
  }

  onDeadline(): void {
    this.passed++;
    this.onPass();
  }
}

function listOf(...deadlines: number[]): { clock: OneTimer; list: DeadlineList; members: Member[] } {
  const clock = new OneTimer();
  const list = new DeadlineList(clock, 1);
  const members = deadlines.map((at) => new Member(at));
  for (const member of members) list.add(member);
  return { clock, list, members };
}

const passed = (members: Member[]): number[] => members.map((member) => member.passed);

test("each member hears of its deadline once", () => {
  const { clock, members } = listOf(30, 10, 20);
  clock.to(15);
  expect(passed(members)).toEqual([0, 1, 0]);
  clock.to(40);
  expect(passed(members)).toEqual([1, 1, 1]);
  clock.to(100);
  expect(passed(members)).toEqual([1, 1, 1]);
});

test("a deadline that was moved to later is met later", () => {
  const { clock, members } = listOf(10);
  members[0]!.deadlineAt = 50;
  clock.to(20);
  expect(passed(members)).toEqual([0]);
  clock.to(50);
  expect(passed(members)).toEqual([1]);
});

test("removed members hear nothing, wherever they were in the list", () => {
  const { clock, list, members } = listOf(10, 10, 10);
  list.remove(members[1]!);
  list.remove(members[0]!);
  list.remove(members[0]!);
  clock.to(20);
  expect(passed(members)).toEqual([0, 0, 1]);
});

test("a member may be removed or added while others hear of theirs", () => {
  const { clock, list, members } = listOf(10, 10, 90, 10);
  // The last one that was added is the first to hear.
  members[3]!.onPass = () => {
    list.remove(members[2]!);
    list.remove(members[0]!);
  };
  members[1]!.onPass = () => {
    members[1]!.deadlineAt = 60;
    list.add(members[1]!);
  };
  clock.to(20);
  clock.to(100);
  expect(passed(members)).toEqual([0, 2, 0, 1]);
});
