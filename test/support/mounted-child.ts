/**
 * An application in a mount namespace of its own, which sees the key folder of its client and no other: `node mounted-child.ts FOLDER HIDDEN URL HOST CLIENT_ID`.
 * Signs in until its parent goes away. Tells first whether anything is in the place where rekeyd has the folder, then each login.
 */
import { readdirSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { openSigner } from '../../src/signer/index.ts';

const [folder = '', hidden = '', url = '', host = '', clientId = ''] = process.argv.slice(2);

export interface MountedLogin {
  readonly kid: string;
  readonly accepted: boolean;
}

process.once('disconnect', () => process.exit());
process.send?.({ hidden: readdirSync(hidden) });
const signer = await openSigner(folder);
for (;;) {
  let used = '';
  const { status } = await signer.authenticate(
    async (assertion, { kid }) => {
      used = kid;
      const body = new URLSearchParams({
        token: 'made-up',
        client_id: clientId,
        client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
        client_assertion: assertion,
      });
      const response = await fetch(`${url}/oauth/introspect`, {
        method: 'POST',
        headers: { 'x-forwarded-host': host },
        body,
      });
      await response.body?.cancel();
      return { status: response.status };
    },
    { audience: `https://${host}/oauth/introspect` },
  );
  process.send?.({ kid: used, accepted: status === 200 } satisfies MountedLogin);
  await delay(30);
}
