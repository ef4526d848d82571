import type { Clock } from "../../clock.js";
import { Sweep } from "../../sweep.js";

/** A member of a `DeadlineList`. The list owns `earlier` and `later`. */
export interface Timed {
  /** A time of `Clock.now`. May be moved to a later one at any time, without telling the list. */
  deadlineAt: number;
  earlier: Timed | null;
  later: Timed | null;
  timed: boolean;
  /** The deadline has passed. The list has forgotten the member. */
  onDeadline(): void;
}

/** Many deadlines on one timer. Adding and removing are a few assignments. */
export class DeadlineList {
  readonly #sweep: Sweep;
  #first: Timed | null = null;

  constructor(clock: Clock, granularityMs: number) {
    this.#sweep = new Sweep(clock, granularityMs, (now) => this.#visit(now));
  }

  /** Adds a member, or takes note of a deadline that has become an earlier one. */
  add(member: Timed): void {
    if (!member.timed) {
      member.timed = true;
      member.later = this.#first;
      if (this.#first !== null) this.#first.earlier = member;
      this.#first = member;
    }
    this.#sweep.by(member.deadlineAt);
  }

  remove(member: Timed): void {
    if (!member.timed) return;
    member.timed = false;
    const { earlier, later } = member;
    if (earlier === null) this.#first = later;
    else earlier.later = later;
    if (later !== null) later.earlier = earlier;
    member.earlier = null;
    member.later = null;
  }

  #visit(now: number): number {
    const due: Timed[] = [];
    let next = Number.POSITIVE_INFINITY;
    for (let member = this.#first; member !== null; member = member.later) {
      if (member.deadlineAt <= now) due.push(member);
      else if (member.deadlineAt < next) next = member.deadlineAt;
    }
    // Whoever hears of its deadline may remove others, add them again, or move theirs.
    for (const member of due) {
      if (!member.timed) continue;
      if (member.deadlineAt > now) {
        next = Math.min(next, member.deadlineAt);
        continue;
      }
      this.remove(member);
      member.onDeadline();
    }
    return next;
  }
}
