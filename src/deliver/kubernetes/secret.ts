/** What a Secret of rekeyd looks like, and how it is recognised. */
import { createHash } from 'node:crypto';
import type { KubernetesSinkConfig } from '../../config/sinks/model.ts';
import { members, parseJson } from '../../core/reply.ts';
import type { Delivery } from '../../core/signers.ts';
import { type Fence, fenceIn } from '../fence.ts';
import { deliveryIn, META } from '../key-set.ts';
import type { SinkContents } from '../sink.ts';

/** Who owns the fields that rekeyd sets. */
export const MANAGER = 'rekeyd';

/** A Secret without this label is somebody else's. */
const OWNER_LABEL = ['app.kubernetes.io/managed-by', 'rekeyd'] as const;

/** Who delivered it: a {@link Fence} as JSON. */
const FENCE = 'rekeyd/delivery';

/** On the pods of a Deployment: another value makes Kubernetes replace them. */
const KEYS = 'rekeyd/keys';

export interface Place {
  readonly namespace: string;
  readonly name: string;
  /** The Deployment to restart. */
  readonly restart: string | null;
}

export function placeIn({ namespace, prefix, clients }: KubernetesSinkConfig, ref: string): Place {
  const own = clients.find(({ client }) => client === ref);
  return {
    namespace: own?.namespace ?? namespace,
    name: own?.name ?? nameOf(prefix, ref),
    restart: own?.restart ?? null,
  };
}

/** Segments that a name takes as they are. None holds a dot, so two references of such segments never have one name. */
const PLAIN = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;

const LONGEST = 253;

/**
 * `rekeyd.185019846023.mcp-auth.4711`. A reference with characters that a name cannot have gets a hash at its end. Should a client be called as such a name
 * ends, the fence refuses the second of the two.
 */
function nameOf(prefix: string, ref: string): string {
  const segments = ref.split('/');
  const name = [prefix, ...segments].join('.');
  if (segments.every((segment) => PLAIN.test(segment)) && name.length <= LONGEST) return name;
  const hash = createHash('sha256').update(ref).digest('hex').slice(0, 12);
  const readable = segments.map((segment) =>
    segment
      .toLowerCase()
      .replaceAll(/[^a-z0-9]+/g, '-')
      .replaceAll(/^-|-$/g, ''),
  );
  return [prefix, ...readable.filter((part) => part !== ''), hash]
    .join('.')
    .slice(-LONGEST)
    .replace(/^[^a-z0-9]+/, '');
}

/** As server-side apply takes it. @param version of the Secret that it was made for; null: there is none */
export function secretFor(place: Place, files: Readonly<Record<string, string>>, fence: Fence, version: string | null) {
  const data = Object.entries(files).map(([name, text]) => [name, Buffer.from(text).toString('base64')]);
  return {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: {
      name: place.name,
      namespace: place.namespace,
      ...(version !== null && { resourceVersion: version }),
      labels: { [OWNER_LABEL[0]]: OWNER_LABEL[1] },
      annotations: { [FENCE]: JSON.stringify(fence) },
    },
    type: 'Opaque',
    data: Object.fromEntries(data),
  };
}

export interface FoundSecret {
  readonly version: string;
  /** Null: somebody else made it. */
  readonly fence: Fence | null;
  readonly delivery: Delivery | null;
}

/** Null: the answer is no Secret of that name. */
export function secretIn(body: unknown, { name: asked }: Pick<Place, 'name'>): FoundSecret | null {
  const { metadata, data } = members(body);
  const { name, labels, annotations, resourceVersion } = members(metadata);
  if (name !== asked || typeof resourceVersion !== 'string') return null;
  const isOurs = members(labels)[OWNER_LABEL[0]] === OWNER_LABEL[1];
  const [fence, meta] = [members(annotations)[FENCE], members(data)[META]];
  return {
    version: resourceVersion,
    fence: isOurs && typeof fence === 'string' ? fenceIn(parseJson(fence)) : null,
    delivery: typeof meta === 'string' ? deliveryIn(Buffer.from(meta, 'base64').toString()) : null,
  };
}

/** A merge patch (RFC 7396) of a Deployment. The same keys give the same patch, which changes nothing. */
export function restartPatch(contents: SinkContents) {
  return { spec: { template: { metadata: { annotations: { [KEYS]: keysIn(contents) } } } } };
}

/** Whether a Deployment was changed as {@link restartPatch} says. */
export function isRestarted(body: unknown, contents: SinkContents): boolean {
  const { metadata } = members(members(members(body).spec).template);
  return members(members(metadata).annotations)[KEYS] === keysIn(contents);
}

function keysIn({ clientId, issuer, current, next, previous }: SinkContents): string {
  const keys = [clientId, issuer, current?.kid, next?.kid, previous?.kid].map((part) => part ?? null);
  return createHash('sha256').update(JSON.stringify(keys)).digest('hex').slice(0, 16);
}
