/** What is told of how long something took, and within what. Code that is given no trace uses {@link NO_TRACE}. */

/** Never key material, secrets, or texts of others: what a trace shows is read by more people than the audit log. */
export type SpanFacts = Readonly<Record<string, string | number | boolean | null>>;

export interface Trace {
  /**
   * Runs `work` as a span, within the one that is open. `note` adds to its facts. Rejects as `work` does, and is then told as failed.
   * @param kind `client`: a call to another machine
   */
  span<T>(
    name: string,
    kind: 'internal' | 'client',
    facts: SpanFacts,
    work: (note: (facts: SpanFacts) => void) => Promise<T>,
  ): Promise<T>;
}

export const NO_TRACE: Trace = { span: (_name, _kind, _facts, work) => work(() => {}) };
