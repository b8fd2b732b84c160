/** What an agent is joined to at the moment. */
export function agentStatus(about: {
  readonly dataplaneUp: boolean;
  readonly logReachable: boolean;
  readonly problem: string;
}): string {
  const log = about.logReachable ? 'the log follows' : `the log cannot be reached: ${about.problem}`;
  return `${about.dataplaneUp ? 'joined to the dataplane' : 'no dataplane'}; ${log}`;
}
