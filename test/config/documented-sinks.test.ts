/** docs/sinks.md shows configs that are accepted. */
import { generateKeyPairSync } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { parse } from 'yaml';
import { parseConfig } from '../../src/config/load.ts';
import { certificateFor } from '../support/certificates.ts';
import { env, folder, useFolder, write } from './write.ts';

useFolder();

/** What is in the blocks of a language, in their order. */
function blocks(text: string, language: string): string[] {
  return [...text.matchAll(new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\``, 'gms'))].map(([, block = '']) => block);
}

test('each sink in docs/sinks.md is accepted, and all kinds are there', async () => {
  const text = await readFile(join(import.meta.dirname, '../../docs/sinks.md'), 'utf8');
  await writeFile(join(folder, 'vault-ca.pem'), certificateFor('DNS:vault').cert);
  await writeFile(join(folder, 'ca.crt'), certificateFor('DNS:kubernetes').cert);
  const { publicKey } = generateKeyPairSync('x25519');
  await writeFile(join(folder, 'recipient.jwk.json'), JSON.stringify(publicKey.export({ format: 'jwk' })));
  const kinds = new Set<string>();
  for (const block of blocks(text, 'yaml')) {
    const own = block
      .replaceAll('file:./secrets/', 'file:')
      .replaceAll('/var/run/secrets/kubernetes.io/serviceaccount', '.');
    if (!own.startsWith('sinks:')) continue;
    for (const name of own.match(/(?<=file:)[a-z_]+(?=[ ,}\n])/g) ?? [])
      await writeFile(join(folder, name), 'a-secret');
    const file = join(folder, 'rekeyd.yaml');
    const config = await parseConfig(write(parse(own)), { file, env: { ...env, VAULT_TOKEN: 'hvs.token' } });
    for (const { kind } of config.sinks) kinds.add(kind);
    expect(config.warnings).toEqual([]);
  }
  expect([...kinds].sort()).toEqual([
    'aws_secrets_manager',
    'directory',
    'encrypted_file',
    'exec',
    'kubernetes',
    'vault',
  ]);
});
