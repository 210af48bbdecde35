/** The examples of docs/configuration.md are configs that are accepted, without a warning. */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, expect, test } from 'vitest';
import { parse } from 'yaml';
import { PARTS } from '../docs/parts.ts';
import { certificateFor } from '../support/certificates.ts';
import { deployment, folder, KEK, read, useFolder, write } from './write.ts';

useFolder();

beforeAll(async () => {
  const { cert, key } = certificateFor('DNS:rekeyd');
  const files = {
    'secrets/rekeyd_kek': KEK,
    'secrets/rekeyd_kek_2': Buffer.alloc(32, 0xb8).toString('base64url'),
    'secrets/wacht_api_key': 'wk_live_not_a_real_one',
    'secrets/redis': 'a-password',
    'secrets/vault': 'hvs.token',
    'secrets/gitguardian': 'a-signature-token',
    'secrets/heartbeat': 'https://hc-ping.com/1',
    'secrets/webhook': `whsec_${Buffer.alloc(32, 0xc9).toString('base64')}`,
    'secrets/otel': 'Bearer token',
    'tls/cert.pem': cert,
    'tls/key.pem': key,
    'tls/callers.pem': cert,
  };
  await Promise.all(['secrets', 'tls'].map((name) => mkdir(join(folder, name))));
  await Promise.all(Object.entries(files).map(([name, text]) => writeFile(join(folder, name), text)));
});

test.each(Object.entries(PARTS))('the example of %s is accepted', async (_, { example }) => {
  const apps = [{ slug: 'mcp-auth' }];
  const config = await read(write({ deployments: [deployment({ id: '185019846023', apps })], ...parse(example) }));
  expect(config.warnings).toEqual([]);
});
