/** What the config says of a Vault or OpenBao server, wherever one is used: paths in it, and how rekeyd logs in. */
import { z } from 'zod';
import * as field from './fields.ts';
import { section, text } from './fields.ts';
import type { Secret } from './secret.ts';
import type { Sources } from './secrets.ts';
import { SERVICE_ACCOUNT } from './sinks/kubernetes.ts';

export type VaultAuthConfig =
  | { readonly kind: 'token'; readonly token: Secret }
  | { readonly kind: 'app_role'; readonly mount: string; readonly roleId: string; readonly secretId: Secret }
  /** The file is read at each login: Kubernetes writes another token there every hour. */
  | { readonly kind: 'kubernetes'; readonly mount: string; readonly role: string; readonly tokenFile: string };

/** Who rekeyd is to Vault: one way of several. */
export function vaultAuth(sources: Sources) {
  const header = (description: string) => field.secret(description, sources, field.headerSecret);
  return section({
    token: header('A token that can be renewed, or one without an end: env:NAME or file:PATH.').optional(),
    app_role: section({
      role_id: text({ description: 'Id of the role.' }, 'the id of the role', (value) => value),
      secret_id: header('Secret id of the role, good for more than one use: env:NAME or file:PATH.'),
      mount: vaultPath('Where the auth method is mounted.').prefault('approle'),
    })
      .describe('The auth method AppRole.')
      .optional(),
    kubernetes: section({
      role: text({ description: 'Name of the role of the auth method.' }, 'the name of the role', (value) => value),
      mount: vaultPath('Where the auth method is mounted.').prefault('kubernetes'),
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
export function vaultPath(description: string) {
  const expected = 'names with "/" between them, such as secret or team-a/kv';
  return text({ description }, expected, (value, refuse) => {
    const path = value.replace(/^\/|\/$/g, '');
    return SEGMENTS.test(path) ? path : refuse(`is not a path in Vault: write ${expected}`);
  });
}
