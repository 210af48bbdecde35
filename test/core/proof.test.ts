import { expect, test } from 'vitest';
import { classifyProof } from '../../src/core/proof.ts';

const KEY_REFUSED = { verdict: 'refused', status: 400, claims: false };
const oauth = (error: string, description?: string) => JSON.stringify({ error, error_description: description });

test.each([
  ['a made-up token is not active', 200, '{"active":false}', { verdict: 'accepted' }],
  ['an active token, of all things', 200, '{"active":true}', { verdict: 'accepted' }],
  ['a success of another kind', 200, '{"ok":true}', { verdict: 'unknown', status: 200 }],
  ['a page', 200, '<html>', { verdict: 'unknown', status: 200 }],
  ['a success without a body', 204, '', { verdict: 'unknown', status: 204 }],
  [
    'the signature',
    400,
    oauth('invalid_request', 'Invalid token: InvalidSignature'),
    { verdict: 'refused', status: 400, claims: false, message: 'invalid_request: Invalid token: InvalidSignature' },
  ],
  ['the alg', 400, oauth('invalid_request', 'Invalid token: InvalidAlgorithm'), { verdict: 'refused', claims: false }],
  [
    'a set without PEM',
    400,
    oauth('invalid_request', 'private_key_jwt requires a registered PEM key in jwks'),
    { verdict: 'refused', claims: false },
  ],
  [
    'an expired assertion',
    400,
    oauth('invalid_request', 'Invalid token: ExpiredSignature'),
    { verdict: 'refused', claims: true },
  ],
  [
    'a request that is wrong otherwise',
    400,
    oauth('invalid_request', 'token is required'),
    { verdict: 'unknown', status: 400 },
  ],
  ['no description', 400, oauth('invalid_request'), { verdict: 'unknown', status: 400 }],
  ['claims or client', 401, oauth('invalid_client'), { verdict: 'refused', status: 401, claims: true }],
  [
    'claims or client, with 400',
    400,
    oauth('invalid_client', 'bad'),
    { verdict: 'refused', status: 400, claims: true },
  ],
  ['an alg that it does not know', 400, oauth('invalid_request', 'Unsupported algorithm: ES512'), KEY_REFUSED],
  ['an alg of another family', 400, oauth('invalid_request', 'Invalid token: InvalidAlgorithm'), KEY_REFUSED],
  ['a key that is no JSON', 400, oauth('invalid_request', 'JSON error: expected value at line 1'), KEY_REFUSED],
  ['a key that is no base64', 400, oauth('invalid_request', 'Base64 error: Invalid byte 33'), KEY_REFUSED],
  ['a request that it does not take', 400, oauth('invalid_request', 'token is required'), { verdict: 'unknown' }],
  ['a 401 from something before the server', 401, 'Unauthorized', { verdict: 'unknown', status: 401 }],
  ['no such app', 404, oauth('invalid_client'), { verdict: 'unknown', status: 404 }],
  ['no such method', 405, '', { verdict: 'unknown', status: 405 }],
  ['a redirect', 302, '', { verdict: 'unknown', status: 302 }],
  [
    'throttled',
    429,
    '{"errors":[{"message":"Retry after 9 seconds"}]}',
    { verdict: 'throttled', retryAfterMs: 9_000, message: 'Retry after 9 seconds' },
  ],
  ['key and alg of two families', 500, oauth('server_error'), { verdict: 'unknown', status: 500 }],
  ['upstream', 502, '', { verdict: 'unknown', status: 502 }],
])('%s', (_, status, body, expected) => {
  expect(classifyProof({ status, headers: {}, body, now: 0 })).toMatchObject(expected);
});
