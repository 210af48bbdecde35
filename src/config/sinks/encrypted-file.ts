/** `kind: encrypted_file`: a file per client that one recipient can open. */
import { createHash, createPublicKey, type JsonWebKey } from 'node:crypto';
import { z } from 'zod';
import { members, parseJson } from '../../core/reply.ts';
import * as field from '../fields.ts';
import { section, text } from '../fields.ts';
import { publicly, readReference, type Sources } from '../secrets.ts';
import { account, mode } from './directory.ts';
import type { EncryptedFileSinkConfig, Recipient } from './model.ts';

export function encryptedFileSink(sources: Sources) {
  return section({
    kind: z.literal('encrypted_file').describe('One file per client (JWE), encrypted for a recipient.'),
    path: field.path('Folder for the files: <deployment>/<app-slug>/<oauth_client_id>.jwe.', sources),
    recipient: recipient(sources),
    mode: mode('Permissions of the files.', 0o400).prefault('0640'),
    dir_mode: mode('Permissions of the folders.', 0o700).prefault('0750'),
    group: account(
      'Group that files and folders are given to: name or id. rekeyd must be a member.',
      'group',
    ).optional(),
  }).transform(
    ({ kind, path, recipient, mode, dir_mode: dirMode, group = null }): EncryptedFileSinkConfig => ({
      ...{ kind, path, recipient },
      access: { mode, dirMode, owner: null, group },
    }),
  );
}

const EXPECTED = 'file:PATH of a public JWK: RSA, EC or X25519';

function recipient(sources: Sources) {
  const about = { description: 'The public JWK that the files are encrypted for.', pattern: '^file:.+$' };
  return text(about, EXPECTED, async (value, refuse): Promise<Recipient> => {
    if (!value.startsWith('file:')) return refuse(`is not a file reference: write ${EXPECTED}`);
    const found = await readReference(value, publicly(sources));
    if ('problem' in found) return refuse(found.problem);
    const read = recipientIn(found.text);
    return typeof read === 'string' ? refuse(read) : read;
  });
}

/** The ways to encrypt for a key (RFC 7518 section 4.1), by its kind. */
const ALGORITHMS: Readonly<Record<string, Recipient['alg']>> = {
  RSA: 'RSA-OAEP-256',
  'P-256': 'ECDH-ES+A256KW',
  'P-384': 'ECDH-ES+A256KW',
  'P-521': 'ECDH-ES+A256KW',
  X25519: 'ECDH-ES+A256KW',
};

/** A text says what is wrong. It repeats nothing of the file, which may hold a private key. */
function recipientIn(text: string): Recipient | string {
  const jwk = members(parseJson(text));
  if ('d' in jwk || 'k' in jwk)
    return 'leads to a private key: put only its public half there, and keep the other with the recipient';
  const { kty, crv, kid, use, n, e, x, y } = jwk;
  const alg = ALGORITHMS[String(kty === 'RSA' ? kty : crv)];
  if (alg === undefined) return `does not lead to a public JWK that can be encrypted for: write ${EXPECTED}`;
  if (use === 'sig') return 'leads to a key for signatures (use: sig): make one for encryption';
  const known = Object.entries({ kty, crv, n, e, x, y }).filter(([, value]) => typeof value === 'string');
  const publicJwk = Object.fromEntries(known) as JsonWebKey; // texts, which the next lines read as a key
  try {
    const { asymmetricKeyDetails } = createPublicKey({ key: publicJwk, format: 'jwk' });
    if ((asymmetricKeyDetails?.modulusLength ?? 2048) < 2048)
      return 'leads to an RSA key of less than 2048 bits: make a longer one';
  } catch {
    return `leads to a JWK that is no key: write ${EXPECTED}`;
  }
  const id =
    typeof kid === 'string' && kid !== ''
      ? kid
      : createHash('sha256').update(JSON.stringify(publicJwk)).digest('base64url');
  return { jwk: publicJwk, alg, kid: id };
}
