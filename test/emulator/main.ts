/** `npm run emulator [-- --port N]`: a local Wacht with two apps, one for each way of picking keys, to try rekeyd and the API on. */
import { generateKeyPairSync } from 'node:crypto';
import { parseArgs } from 'node:util';
import { type Emulator, startEmulator } from './server.ts';

const DEPLOYMENT = '185019846023';
const API_KEY = 'emulator-api-key';

const { values } = parseArgs({ options: { port: { type: 'string', default: '8787' } } });

const emulator = await startEmulator({
  port: Number(values.port),
  admin: true,
  logLimit: 1000,
  onAnswered: ({ method, path, status, verdict = '', why = '' }) =>
    console.log([new Date().toISOString(), status, method, path, verdict, why].join(' ').trimEnd()),
});
seed(emulator);

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => void emulator.close());
}

function seed({ url, addApp, addClient, setApiKey }: Emulator): void {
  setApiKey(DEPLOYMENT, API_KEY);
  const apps = [
    addApp({ deployment: DEPLOYMENT, slug: 'mcp-auth', fqdn: 'auth.example.com', selection: 'first_pem' }),
    addApp({ deployment: DEPLOYMENT, slug: 'mcp-rfc', fqdn: 'rfc.example.com', selection: 'jwks_kid' }),
  ];
  const clients = apps.flatMap((app) =>
    ['one', 'two'].map((name) => {
      const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
      const pem = publicKey.export({ type: 'spki', format: 'pem' }).toString();
      const members = { deployment: DEPLOYMENT, app: app.slug, client_name: name, alg: 'ES256', public_key_pem: pem };
      return { app, client: addClient(members) };
    }),
  );
  const base = `${url}/deployments/${DEPLOYMENT}/oauth/apps`;
  const curl = `curl -s -H 'Authorization: Bearer ${API_KEY}'`;
  const first = clients[0]?.client.id;
  console.log(`A local Wacht listens on ${url}

  deployment   ${DEPLOYMENT}
  API key      ${API_KEY}
${apps.map((app) => `  app          ${app.slug}  https://${app.fqdn}  (${app.selection})`).join('\n')}
${clients.map(({ app, client }) => `  client       ${DEPLOYMENT}/${app.slug}/${client.id}  ${client.client_id}`).join('\n')}

${curl} ${base}
${curl} ${base}/mcp-auth/clients
${curl} -X PATCH -H 'Content-Type: application/json' -d '{"client_name":"renamed"}' ${base}/mcp-auth/clients/${first}
curl -s -X POST -d '{"kind":"status","status":503,"when":"after","match":{"method":"PATCH"}}' ${url}/_emulator/faults
curl -s ${url}/_emulator/faults

Stop it with Ctrl-C.
`);
}
