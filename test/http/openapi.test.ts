/** `docs/openapi.json`: it is what the routes say, and a linter finds nothing wrong with it. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createConfig, lintFromString } from '@redocly/openapi-core';
import { expect, test } from 'vitest';
import { openapi } from '../../src/http/openapi.ts';
import { ROUTES } from '../../src/http/server.ts';

const FILE = join(import.meta.dirname, '../../docs/openapi.json');

test('docs/openapi.json is current: `npm run schema` writes it', () => {
  expect(JSON.parse(readFileSync(FILE, 'utf8'))).toEqual(openapi(ROUTES));
});

/** What does not fit us: servers are where people run them, first of all on their own machine; and probes have no errors of the client. */
const config = createConfig({
  extends: ['recommended-strict'],
  rules: { 'no-server-example.com': 'off', 'operation-4xx-response': 'error' },
});

async function problemsIn(source: string): Promise<string[]> {
  const found = await lintFromString({ source, absoluteRef: 'openapi.json', config: await config });
  return found.map(({ ruleId, message, location: [at] }) => `${ruleId} ${at?.pointer}: ${message}`);
}

test('a linter finds nothing wrong with it', async () => {
  expect(await problemsIn(readFileSync(FILE, 'utf8'))).toEqual([]);
});

test('the linter would find something', async () => {
  const broken = readFileSync(FILE, 'utf8').replace('"operationId": "getClient"', '"operationId": "listClients"');
  expect(await problemsIn(broken)).toEqual([expect.stringContaining('operation-operationId-unique')]);
});
