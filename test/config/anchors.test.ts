/** YAML that says things once: anchors, aliases and merge keys. */
import { expect, test } from 'vitest';
import { read, refusal, useFolder } from './write.ts';

useFolder();

const HEAD = `
encryption: { keks: [{ id: k1, key: env:KEK }] }
deployments: [{ id: "1", api_key: env:API_KEY, apps: [{ slug: mcp-auth, policy: calm }] }]
`;

test('a merge key takes over what a section does not say itself', async () => {
  const { policies } = await read(`${HEAD}
policies:
  default: &base { rotate_every: 10d, overlap: 5m }
  calm: { <<: *base, overlap: 1h }
  both: { <<: [{ attempts: 3 }, *base] }
`);
  expect(policies.calm).toMatchObject({ rotateEveryMs: 10 * 86_400_000, overlapMs: 3_600_000 });
  expect(policies.both).toMatchObject({ rotateEveryMs: 10 * 86_400_000, overlapMs: 300_000, attempts: 3 });
});

test('what a merged section has wrong is told where it is merged, by its name', async () => {
  const { problems } = await refusal(`${HEAD}
policies:
  default: &base { rotate_every: soon }
  calm: { <<: *base }
`);
  expect(problems).toMatchObject([
    { path: 'policies.default.rotate_every', line: 6 },
    { path: 'policies.calm.rotate_every', line: 7 },
  ]);
});

test.each([
  ['text', 'calm: { <<: text }'],
  ['a name that no anchor has', 'calm: { <<: *nobody }'],
])('a merge of %s is refused', async (_, line) => {
  const { message } = await refusal(`${HEAD}\npolicies:\n  ${line}\n`);
  expect(message).toMatch(/YAML/);
});
