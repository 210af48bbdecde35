/** `kind: vault`: HashiCorp Vault or OpenBao, a KV engine of version 2. */
import { z } from 'zod';
import { SINK_PREFIX, VAULT_MOUNT } from '../defaults.ts';
import * as field from '../fields.ts';
import { duration, section, text } from '../fields.ts';
import { authorities, proxy } from '../route.ts';
import type { Sources } from '../secrets.ts';
import { SERVICE_ACCOUNT } from './kubernetes.ts';
import type { VaultAuthConfig, VaultSinkConfig } from './model.ts';

export function vaultSink(sources: Sources) {
  return section({
    kind: z.literal('vault').describe('HashiCorp Vault or OpenBao: one secret per client in a KV engine, version 2.'),
    url: field.url('URL of the server, such as https://vault.example.com:8200.'),
    mount: place('Where the KV engine (version 2) is mounted.').prefault(VAULT_MOUNT),
    prefix: place('Paths of secrets begin with it: <prefix>/<deployment>/<app-slug>/<oauth_client_id>.').prefault(
      SINK_PREFIX,
    ),
    namespace: place('Namespace of Vault Enterprise or OpenBao. Absent: none.').optional(),
    auth: auth(sources),
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

/** Who rekeyd is to Vault: one way of several. */
function auth(sources: Sources) {
  const header = (description: string) => field.secret(description, sources, field.headerSecret);
  return section({
    token: header('A token that can be renewed, or one without an end: env:NAME or file:PATH.').optional(),
    app_role: section({
      role_id: text({ description: 'Id of the role.' }, 'the id of the role', (value) => value),
      secret_id: header('Secret id of the role, good for more than one use: env:NAME or file:PATH.'),
      mount: place('Where the auth method is mounted.').prefault('approle'),
    })
      .describe('The auth method AppRole.')
      .optional(),
    kubernetes: section({
      role: text({ description: 'Name of the role of the auth method.' }, 'the name of the role', (value) => value),
      mount: place('Where the auth method is mounted.').prefault('kubernetes'),
      token_file: field
        .path('The token of the service account; it is read at each login.', sources)
        .prefault(`${SERVICE_ACCOUNT}/token`),
    })
      .describe('The auth method Kubernetes.')
      .optional(),
  })
    .transform((given, context): VaultAuthConfig => {
      const ways = Object.entries(given).flatMap(([name, value]) => (value === undefined ? [] : [name]));
      const { token, app_role: appRole, kubernetes } = given;
      if (ways.length === 1) {
        if (token !== undefined) return { kind: 'token', token };
        if (appRole !== undefined) {
          const { role_id: roleId, secret_id: secretId, mount } = appRole;
          return { kind: 'app_role', mount, roleId, secretId };
        }
        if (kubernetes !== undefined) {
          const { role, mount, token_file: tokenFile } = kubernetes;
          return { kind: 'kubernetes', mount, role, tokenFile };
        }
      }
      const message = `has ${ways.length === 0 ? 'no way to log in' : ways.join(' and ')}: write one of token, app_role, kubernetes`;
      context.addIssue({ code: 'custom', message });
      return z.NEVER;
    })
    .describe('How rekeyd logs in: one of token, app_role, kubernetes.');
}

const SEGMENTS = /^[A-Za-z0-9_~-][A-Za-z0-9._~-]*(?:\/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)*$/;

/** Segments of a path in Vault, without slashes at its ends. */
function place(description: string) {
  const expected = 'names with "/" between them, such as secret or team-a/kv';
  return text({ description }, expected, (value, refuse) => {
    const path = value.replace(/^\/|\/$/g, '');
    return SEGMENTS.test(path) ? path : refuse(`is not a path in Vault: write ${expected}`);
  });
}
