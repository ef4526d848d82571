/** What every join token begins with: by it a workload knows that its token serves once. */
export const joinTokenPrefix = "selvage-join.";
