import { expect, test } from 'vitest';
import { openIssuers } from '../../src/rotation/issuers.ts';
import { ApiError } from '../../src/wacht/api-error.ts';
import type { ObservedApp } from '../../src/wacht/observed.ts';

const NAMED = { slug: 'named', issuer: 'https://here.example', resolve: {}, policy: 'p', clients: 'all' } as const;
const LEARNED = { ...NAMED, slug: 'learned', issuer: null };

const app = (slug: string, fqdn: string | null): ObservedApp => ({ id: '1', slug, name: null, fqdn, active: true });

function scene(answers: readonly (readonly ObservedApp[] | Error)[], first = new Map<string, string>()) {
  let asked = 0;
  const listApps = async () => {
    asked += 1;
    const answer = answers[Math.min(asked, answers.length) - 1];
    if (answer === undefined || answer instanceof Error) throw answer ?? new Error('nobody may ask this');
    return answer;
  };
  const firstDomain = async (_: string, slug: string, domain: string) => {
    first.set(slug, first.get(slug) ?? domain);
    return first.get(slug) ?? domain;
  };
  return { issuers: openIssuers({ id: 'd', apps: [NAMED, LEARNED] }, listApps, { firstDomain }), asked: () => asked };
}

test('the config is believed, and the API is not asked', async () => {
  const { issuers, asked } = scene([]);
  expect(await issuers.of('named')).toBe('https://here.example');
  await issuers.confirm('named');
  expect(asked()).toBe(0);
});

test('what the API said is kept for a while', async () => {
  const { issuers, asked } = scene([[app('learned', 'a.example')]]);
  expect(await issuers.of('learned')).toBe('https://a.example');
  expect(await issuers.of('learned')).toBe('https://a.example');
  // It was just asked.
  await issuers.confirm('learned');
  expect(asked()).toBe(1);
});

test('an app without a domain is asked about again', async () => {
  const { issuers } = scene([[app('learned', null)], [app('learned', 'a.example')]]);
  await expect(issuers.of('learned')).rejects.toMatchObject({ code: 'not_found' });
  expect(await issuers.of('learned')).toBe('https://a.example');
});

test('a domain that changed is not believed, in any process', async () => {
  const { issuers } = scene([[app('learned', 'evil.example')]], new Map([['learned', 'a.example']]));
  const refusal = {
    code: 'issuer_changed',
    message: expect.stringMatching(/is evil\.example; before, it was a\.example/),
  };
  await expect(issuers.of('learned')).rejects.toMatchObject(refusal);
  await expect(issuers.confirm('learned')).rejects.toMatchObject(refusal);
});

test('an API that does not answer says nothing against a domain', async () => {
  const away = new ApiError('Listing', { class: 'unknown', status: null, message: 'away' });
  const { issuers } = scene([away]);
  await issuers.confirm('learned');
  await expect(issuers.of('learned')).rejects.toBe(away);
});
