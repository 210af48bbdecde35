/** `kind: kubernetes`: a Secret per client, in the cluster that rekeyd runs in or in another one. */
import { join } from 'node:path';
import { z } from 'zod';
import { REFERENCE } from '../../core/client.ts';
import { KUBERNETES_URL, SINK_PREFIX } from '../defaults.ts';
import * as field from '../fields.ts';
import { duration, list, section, text } from '../fields.ts';
import { authorities, proxy } from '../route.ts';
import { publicly, readReference, type Sources } from '../secrets.ts';
import { certificatesIn } from '../tls.ts';
import type { KubernetesClient, KubernetesSinkConfig } from './model.ts';

/** Where Kubernetes puts token, authority and namespace of a pod's service account. */
export const SERVICE_ACCOUNT = '/var/run/secrets/kubernetes.io/serviceaccount';

export function kubernetesSink(sources: Sources) {
  return section({
    kind: z.literal('kubernetes').describe('One Secret per client.'),
    url: field.url('URL of the Kubernetes API.').prefault(KUBERNETES_URL),
    service_account: field
      .path('Folder with token, ca.crt and namespace. The token is read again every minute.', sources)
      .prefault(SERVICE_ACCOUNT),
    namespace: dnsLabel('Namespace of the Secrets. Absent: the namespace of the service account.').optional(),
    prefix: dnsLabel('Names of Secrets begin with it.').prefault(SINK_PREFIX),
    clients: list(client(), 'client')
      .describe('Clients whose Secret has a name of its own, or whose application is restarted.')
      .optional(),
    timeout: duration('How long one call may take.', { most: '5m' }).prefault('10s'),
    proxy: proxy('How the API is connected to: env, none, or the URL of a proxy.', sources).prefault('none'),
    ca: authorities(
      'PEM certificates of authorities of the API. Absent: ca.crt of the service account.',
      sources,
    ).optional(),
  }).transform(async (given, context): Promise<KubernetesSinkConfig> => {
    const { kind, url, prefix, clients = [], timeout, proxy, service_account: account } = given;
    const read = async (name: string, setting: string): Promise<string> => {
      const found = await readReference(`file:${join(account, name)}`, publicly(sources));
      if ('text' in found) return found.text;
      const message = `is missing, and the service account does not have it (${found.problem}): write ${setting}`;
      context.addIssue({ code: 'custom', path: [setting], message });
      return '';
    };
    const namespace = given.namespace ?? (await read('namespace', 'namespace'));
    for (const issue of doubles(clients, namespace)) context.addIssue({ code: 'custom', ...issue });
    const isPlain = url.startsWith('http:');
    return {
      ...{ kind, url, namespace, prefix, clients, timeoutMs: timeout, tokenFile: join(account, 'token') },
      route: { proxy, authorities: given.ca ?? (isPlain ? [] : certificatesIn(await read('ca.crt', 'ca'))) },
    };
  });
}

interface Double {
  readonly path: PropertyKey[];
  readonly message: string;
}

/** Two clients in one Secret would take it from each other for ever. @param usual the namespace of clients that name none */
function doubles(clients: readonly KubernetesClient[], usual: string): readonly Double[] {
  return clients.flatMap(({ client, name, namespace }, index) => {
    const before = clients.slice(0, index);
    if (before.some((other) => other.client === client)) {
      return [{ path: ['clients', index, 'client'], message: `${client} is there already: write each client once` }];
    }
    const isHere = (other: KubernetesClient) => (other.namespace ?? usual) === (namespace ?? usual);
    const owner = name === null ? undefined : before.find((other) => other.name === name && isHere(other));
    if (owner === undefined) return [];
    return [{ path: ['clients', index, 'name'], message: `is the Secret of ${owner.client}: write another name` }];
  });
}

function client() {
  const expected = 'deployment/app-slug/oauth_client_id';
  const ref = text({ description: 'The client.', pattern: REFERENCE.source }, expected, (value, refuse) =>
    REFERENCE.test(value) ? value : refuse(`is not a client: write ${expected}`),
  );
  return section({
    client: ref,
    name: objectName('Name of its Secret.').optional(),
    namespace: dnsLabel('Namespace of its Secret and of the Deployment.').optional(),
    restart: objectName('The Deployment that is restarted when the keys change.').optional(),
  }).transform(
    ({ client, name = null, namespace = null, restart = null }): KubernetesClient => ({
      client,
      name,
      namespace,
      restart,
    }),
  );
}

const LABEL = '[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?';

/** RFC 1123. */
function dnsLabel(description: string) {
  const expected = 'small letters, digits and "-", at most 63, such as payments';
  return text({ description }, expected, (value, refuse) =>
    new RegExp(`^${LABEL}$`).test(value) ? value : refuse(`is not a name in Kubernetes: write ${expected}`),
  );
}

/** A DNS subdomain, as names of Secrets and Deployments are. */
function objectName(description: string) {
  const expected = 'small letters, digits, "-" and ".", such as payments-key';
  return text({ description }, expected, (value, refuse) =>
    value.length <= 253 && new RegExp(`^${LABEL}(?:\\.${LABEL})*$`).test(value)
      ? value
      : refuse(`is not a name in Kubernetes: write ${expected}`),
  );
}
