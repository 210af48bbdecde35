/** `kind: vault`: HashiCorp Vault or OpenBao, a KV engine of version 2. */
import { z } from 'zod';
import { SINK_PREFIX, VAULT_MOUNT } from '../defaults.ts';
import * as field from '../fields.ts';
import { duration, section } from '../fields.ts';
import { authorities, proxy } from '../route.ts';
import type { Sources } from '../secrets.ts';
import { vaultAuth, vaultPath } from '../vault.ts';
import type { VaultSinkConfig } from './model.ts';

export function vaultSink(sources: Sources) {
  return section({
    kind: z.literal('vault').describe('HashiCorp Vault or OpenBao: one secret per client in a KV engine, version 2.'),
    url: field.url('URL of the server, such as https://vault.example.com:8200.'),
    mount: vaultPath('Where the KV engine (version 2) is mounted.').prefault(VAULT_MOUNT),
    prefix: vaultPath('Paths of secrets begin with it: <prefix>/<deployment>/<app-slug>/<oauth_client_id>.').prefault(
      SINK_PREFIX,
    ),
    namespace: vaultPath('Namespace of Vault Enterprise or OpenBao. Absent: none.').optional(),
    auth: vaultAuth(sources),
    timeout: duration('How long one call may take.', { most: '5m' }).prefault('10s'),
    proxy: proxy('How the server is connected to: env, none, or the URL of a proxy.', sources).prefault('none'),
    ca: authorities('PEM certificates of authorities that are trusted beside the usual ones.', sources).optional(),
  }).transform(
    ({ kind, url, mount, prefix, namespace = null, auth, timeout, proxy, ca = [] }): VaultSinkConfig => ({
      ...{ kind, url, mount, prefix, namespace, auth, timeoutMs: timeout },
      route: { proxy, authorities: ca },
    }),
  );
}
