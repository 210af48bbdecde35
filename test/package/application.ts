/** Small applications that use `@rekeyd/signer` as its README says, each in a file of its kind. */

const SIGN = `async (signer) => {
  const { assertion } = await signer.assertion({ audience: 'https://auth.example.com' });
  console.log(JSON.parse(Buffer.from(assertion.split('.')[1], 'base64url')).iss);
  await signer.close();
}`;

/** By name. Each prints the client's id. The key folder is in KEYS. */
export const PROGRAMS = {
  'imported.mjs': `import { openSigner } from '@rekeyd/signer';\nawait (${SIGN})(await openSigner(process.env.KEYS));\n`,
  'required.cjs': `const { openSigner } = require('@rekeyd/signer');\nopenSigner(process.env.KEYS).then(${SIGN});\n`,
};

/** Each has one mistake, in the line that says so: types that find nothing find nothing wrong either. */
export const TYPED = {
  'typed.mts': `
import { type Answer, clientAuth, openSigner, SignerError, signingFetch } from '@rekeyd/signer';
import * as oauth from 'oauth4webapi';
import * as client from 'openid-client';

const signer = await openSigner('keys', { onClockError: ({ code }: SignerError) => console.log(code) });
export const config = await client.discovery(new URL('https://a'), signer.clientId, undefined, clientAuth(signer), {
  [client.customFetch]: signingFetch(signer),
});
const as = { issuer: 'https://a' };
const of = { client_id: signer.clientId };
const options = { [oauth.customFetch]: signingFetch(signer, { audience: (url) => url }) };
export const response: Response = await oauth.clientCredentialsGrantRequest(as, of, clientAuth(signer), {}, options);
export const asFetch: typeof fetch = signingFetch(signer);
export const answer: Answer = await signer.authenticate((assertion) => fetch(assertion), { audience: 'https://a' });
export const mistake: number = signer.clientId;
`,
  'typed.cts': `
import signing = require('@rekeyd/signer');
export const opened: Promise<signing.Signer> = signing.openSigner('keys');
export const mistake: number = opened;
`,
};
