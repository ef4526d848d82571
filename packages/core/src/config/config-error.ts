import { type DocumentProblem, problemText } from "@selvage/policy";

/** One thing that is wrong in the configuration. */
export interface ConfigProblem extends DocumentProblem {
  /** The file (with line and column), variable or `options` that it was read from. */
  readonly where: string;
}

/**
 * A configuration that cannot be used. Says everything that is wrong with it at once, each with the place, the path of the
 * field, the value and a remedy. Never shows tokens or keys.
 */
export class ConfigError extends Error {
  readonly code = "SELVAGE_ERR_CONFIG";
  readonly problems: readonly ConfigProblem[];

  constructor(problems: readonly ConfigProblem[]) {
    super(problems.map((problem) => `${problem.where}: ${problemText(problem)}`).join("\n"));
    this.problems = problems;
  }

  override get name(): string {
    return "ConfigError";
  }
}
