/**
 * Tests that are slow, and about no promise to a user: the build of the image, the Compose file, the sizing table, and packages that npm installs (which
 * takes a registry). `.ci/run` asks for all of them.
 */
const ONCE = [
  'test/deploy/image.test.ts',
  'test/deploy/compose.test.ts',
  'test/sizing/table.test.ts',
  'test/package/packages.test.ts',
];

/** Those of them that a run leaves out. @param asked the environment's REKEYD_TESTS */
export function leftForCi(asked: string | undefined): readonly string[] {
  return asked === 'all' ? [] : ONCE;
}
