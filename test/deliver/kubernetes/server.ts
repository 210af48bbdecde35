/**
 * A local Kubernetes API, made after the published one (OpenAPI document and pages on server-side apply, dry runs and RBAC of version 1.34): Secrets and
 * Deployments, as far as the sink asks for them. It keeps no secret from tests.
 */
import { createServer as createPlainServer, type RequestListener } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { json } from 'node:stream/consumers';
import { listening } from '../../support/listening.ts';

type Texts = Record<string, string>;

export interface StoredSecret {
  readonly apiVersion: string;
  readonly kind: string;
  metadata: { name: string; namespace: string; resourceVersion: string; labels: Texts; annotations: Texts };
  type: string;
  data: Texts;
}

interface Deployment {
  annotations: Texts;
  /** Goes up with each change of the pods. */
  generation: number;
}

export interface Cluster {
  readonly url: string;
  readonly tokens: Set<string>;
  readonly namespaces: Set<string>;
  /** By `namespace/name`. */
  readonly secrets: Map<string, StoredSecret>;
  readonly deployments: Map<string, Deployment>;
  /** Verbs that the service account lacks, such as `patch secrets`. */
  readonly denied: Set<string>;
  /** What was asked, such as `PATCH secrets apps/rekeyd.1.a.4`. */
  readonly calls: string[];
  /** Bodies that were applied, as they came. */
  readonly applied: unknown[];
  /** Called before a write is looked at. */
  onWrite: () => void;
  /** As `kubectl edit` by somebody: these fields are theirs from then on. */
  edit(key: string, change: (secret: StoredSecret) => void): void;
}

interface Body {
  metadata?: { resourceVersion?: string; labels?: Texts; annotations?: Texts };
  type?: string;
  data?: Texts;
  spec?: { template?: { metadata?: { annotations?: Texts } } };
}

interface Asked {
  readonly method: string;
  readonly resource: string;
  readonly namespace: string;
  readonly name: string;
  readonly query: URLSearchParams;
  readonly contentType: string | undefined;
  readonly body: Body;
}

const MOST_BYTES = 1024 ** 2;

/** @param tls PEM texts */
export async function startCluster(tls?: { readonly cert: string; readonly key: string }): Promise<Cluster> {
  /** By secret: who owns which field, such as `data.current.pem`. */
  const owners = new Map<string, Map<string, string>>();
  let version = 0;

  const cluster: Cluster = {
    url: '',
    tokens: new Set(['token-1']),
    namespaces: new Set(['apps']),
    secrets: new Map(),
    deployments: new Map(),
    denied: new Set(),
    calls: [],
    applied: [],
    onWrite: () => {},
    edit(key, change) {
      const secret = cluster.secrets.get(key);
      if (secret === undefined) throw new Error(`there is no Secret ${key}`);
      const before = fieldsOf(secret);
      change(secret);
      version += 1;
      secret.metadata.resourceVersion = String(version);
      const owned = owners.get(key) ?? new Map();
      for (const [field, value] of fieldsOf(secret)) if (before.get(field) !== value) owned.set(field, 'kubectl-edit');
      owners.set(key, owned);
    },
  };

  function apply(asked: Asked): [number, object] {
    const { namespace, name, query, body } = asked;
    const key = `${namespace}/${name}`;
    if (!cluster.namespaces.has(namespace)) return status(404, `namespaces "${namespace}" not found`);
    const isDry = query.get('dryRun') === 'All';
    if (!isDry) cluster.applied.push(body);
    if (!isDry) cluster.onWrite();
    const present = cluster.secrets.get(key);
    const seen = body.metadata?.resourceVersion;
    if (seen !== undefined && seen !== present?.metadata.resourceVersion)
      return status(409, `Operation cannot be fulfilled on secrets "${name}": the object has been modified`);
    const manager = query.get('fieldManager') ?? '';
    const owned = new Map(owners.get(key));
    const next: StoredSecret = structuredClone(present) ?? {
      ...{ apiVersion: 'v1', kind: 'Secret', type: body.type ?? 'Opaque', data: {} },
      metadata: { name, namespace, resourceVersion: '', labels: {}, annotations: {} },
    };
    const given = fieldsOf({ metadata: { labels: {}, annotations: {}, ...body.metadata }, data: body.data ?? {} });
    for (const [field, owner] of owned) {
      // What its owner applies no more is removed.
      if (owner === manager && !given.has(field)) {
        set(next, field, undefined);
        owned.delete(field);
      }
    }
    for (const [field, value] of given) {
      const owner = owned.get(field);
      if (owner !== undefined && owner !== manager && query.get('force') !== 'true')
        return status(409, `Apply failed with 1 conflict: conflict with "${owner}": .${field}`);
      set(next, field, value);
      owned.set(field, manager);
    }
    const size = Object.values(next.data).reduce((sum, text) => sum + Buffer.from(text, 'base64').length, 0);
    if (size > MOST_BYTES)
      return status(422, `Secret "${name}" is invalid: data: Too long: may not be more than ${MOST_BYTES} bytes`);
    if (isDry) return [200, next];
    version += 1;
    next.metadata.resourceVersion = String(version);
    cluster.secrets.set(key, next);
    owners.set(key, owned);
    return [present === undefined ? 201 : 200, next];
  }

  function patchDeployment({ namespace, name, query, body }: Asked): [number, object] {
    const deployment = cluster.deployments.get(`${namespace}/${name}`);
    if (deployment === undefined) return status(404, `deployments.apps "${name}" not found`);
    const annotations = { ...deployment.annotations, ...body.spec?.template?.metadata?.annotations };
    if (query.get('dryRun') !== 'All' && JSON.stringify(annotations) !== JSON.stringify(deployment.annotations))
      Object.assign(deployment, { annotations, generation: deployment.generation + 1 });
    return [200, { metadata: { name, namespace }, spec: { template: { metadata: { annotations } } } }];
  }

  function handle(asked: Asked): [number, object] {
    const { method, resource, namespace, name, contentType } = asked;
    cluster.calls.push(`${method} ${resource} ${namespace}/${name}`);
    const verb = method === 'GET' ? 'get' : 'patch';
    const isNew = verb === 'patch' && resource === 'secrets' && !cluster.secrets.has(`${namespace}/${name}`);
    const missing = [verb, ...(isNew ? ['create'] : [])].find((one) => cluster.denied.has(`${one} ${resource}`));
    if (missing !== undefined) {
      const who = 'User "system:serviceaccount:rekeyd:rekeyd"';
      return status(
        403,
        `${resource} "${name}" is forbidden: ${who} cannot ${missing} resource "${resource}" in API group "" in the namespace "${namespace}"`,
      );
    }
    if (method === 'GET' && resource === 'secrets') {
      const secret = cluster.secrets.get(`${namespace}/${name}`);
      return secret === undefined ? status(404, `secrets "${name}" not found`) : [200, secret];
    }
    if (resource === 'secrets' && contentType === 'application/apply-patch+yaml') return apply(asked);
    if (resource === 'deployments' && contentType === 'application/merge-patch+json') return patchDeployment(asked);
    return status(415, 'the body of the request was in an unknown format');
  }

  const listener: RequestListener = async (request, response) => {
    const url = new URL(request.url ?? '', 'http://any');
    const [, namespace = '', resource = '', name = ''] =
      /^\/(?:api\/v1|apis\/apps\/v1)\/namespaces\/([^/]+)\/(secrets|deployments)\/([^/]+)$/.exec(url.pathname) ?? [];
    const body: Body = request.method === 'GET' ? {} : ((await json(request)) as Body); // as the API has it
    const isKnown = cluster.tokens.has(request.headers.authorization?.replace('Bearer ', '') ?? '');
    const { method = '', headers } = request;
    const asked = {
      method,
      resource,
      namespace,
      name,
      query: url.searchParams,
      contentType: headers['content-type'],
      body,
    };
    const [code, answer] = isKnown ? handle(asked) : status(401, 'Unauthorized');
    response.writeHead(code, { 'content-type': 'application/json' });
    response.end(JSON.stringify(answer));
  };
  const server = tls === undefined ? createPlainServer(listener) : createTlsServer(tls, listener);
  const port = await listening(server);
  return Object.assign(cluster, { url: `http${tls === undefined ? '' : 's'}://127.0.0.1:${port}` });
}

function status(code: number, message: string): [number, object] {
  return [code, { apiVersion: 'v1', kind: 'Status', status: 'Failure', code, message }];
}

type Shaped = { metadata: { labels: Texts; annotations: Texts }; data: Texts };

function partsOf({ metadata, data }: Shaped): readonly (readonly [string, Texts])[] {
  return [
    ['data', data],
    ['labels', metadata.labels],
    ['annotations', metadata.annotations],
  ];
}

function fieldsOf(secret: Shaped): Map<string, string> {
  return new Map(
    partsOf(secret).flatMap(([part, texts]) =>
      Object.entries(texts).map(([name, value]) => [`${part} ${name}`, value] as const),
    ),
  );
}

function set(secret: StoredSecret, field: string, value: string | undefined): void {
  const [part, name = ''] = field.split(' ');
  const texts = partsOf(secret).find(([known]) => known === part)?.[1] ?? {};
  if (value === undefined) delete texts[name];
  else texts[name] = value;
}
