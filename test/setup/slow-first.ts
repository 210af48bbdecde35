import { BaseSequencer, type TestSpecification } from 'vitest/node';

/** Folders whose tests take longest, slowest first. */
const SLOW = ['takeover', 'readme', 'service', 'cli', 'deploy', 'store'];

/** Starts slow tests first: one that starts last runs on alone while the other cores have nothing to do. */
export class SlowFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files);
    return sorted.toSorted((a, b) => rank(a) - rank(b));
  }
}

function rank({ moduleId }: TestSpecification): number {
  const at = SLOW.findIndex((folder) => moduleId.includes(`/test/${folder}/`));
  return at === -1 ? SLOW.length : at;
}
