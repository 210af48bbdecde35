import type { Edit } from './syntax.ts';

/** A breakage of the protocol. */
export interface Mutant {
  readonly name: string;
  readonly edits: readonly Edit[];
  /** What has to notice it: a rule of the checker in one of `circumstances.ts`, or a test of the suite where no run of a process shows it. */
  readonly caught: ByChecker | ByTest;
}

interface ByChecker {
  readonly in: string;
  readonly as: string;
}

export interface ByTest {
  /** A file of tests, from the root of the repository, and the name of the one that has to fail. */
  readonly by: string;
  readonly named: string;
}
