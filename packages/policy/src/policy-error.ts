import { type DocumentProblem, problemText } from "./document-problem.js";

/** A policy document that cannot be used. Says everything that is wrong with it at once. */
export class PolicyError extends Error {
  readonly code = "SELVAGE_ERR_POLICY";
  /** Where the document came from: a file's name, as a rule. */
  readonly where: string;
  readonly problems: readonly DocumentProblem[];

  constructor(where: string, problems: readonly DocumentProblem[]) {
    super(problems.map((problem) => `${where}: ${problemText(problem)}`).join("\n"));
    this.where = where;
    this.problems = problems;
  }

  override get name(): string {
    return "PolicyError";
  }
}
