/**
 * Keys as Secrets of Kubernetes: one per client, with the files of a key folder. A Secret that is mounted is a key folder. Written by server-side apply, so
 * that fields of others in it stay, with the version that was read, so that nobody's change is written over unseen.
 */
import type { KubernetesSinkConfig } from '../../config/sinks/model.ts';
import { messageOf, RekeydError } from '../../errors.ts';
import { fenceOf, refuseFenced } from '../fence.ts';
import { keySetTexts } from '../key-set.ts';
import type { SinkTools } from '../open.ts';
import { type Sink, type SinkContents, sinkFailed } from '../sink.ts';
import { KubernetesError, openKubernetesApi } from './api.ts';
import { type FoundSecret, MANAGER, type Place, placeIn, restartPatch, secretFor, secretIn } from './secret.ts';

/** So often another writer may be faster. */
const ATTEMPTS = 5;

const APPLY = { method: 'PATCH', contentType: 'application/apply-patch+yaml' } as const; // JSON is YAML
const MERGE = { method: 'PATCH', contentType: 'application/merge-patch+json' } as const;

export function kubernetesSink(config: KubernetesSinkConfig, { store, now }: SinkTools): Sink {
  const api = openKubernetesApi(config, now);
  const { url, namespace, clients } = config;
  const name = `kubernetes ${url} ${namespace}`;
  const placeOf = (ref: string) => {
    const place = placeIn(config, ref);
    return `kubernetes ${url} ${place.namespace}/${place.name}`;
  };

  async function read(place: Place): Promise<FoundSecret | null> {
    const { status, body } = await api.call({
      ...{ method: 'GET', path: pathOf(place), doing: `reading the Secret ${place.name}`, expects: [404] },
    });
    return status === 404 ? null : secretIn(body);
  }

  /** @returns false when another writer was faster */
  async function write(place: Place, contents: SinkContents): Promise<boolean> {
    const found = await read(place);
    if (found !== null) {
      if (found.fence === null)
        throw new SecretTaken(`the Secret ${place.name} is there, without the label and the annotation of rekeyd`);
      await refuseFenced(placeOf(contents.ref), found.fence, contents, store);
    }
    const body = secretFor(place, keySetTexts(contents), fenceOf(contents, store), found?.version ?? null);
    const { status } = await apply(place, body, '', [409]);
    return status !== 409;
  }

  /** By force: a field that somebody changed by hand becomes ours again. */
  function apply(place: Place, body: object, more: string, expects: readonly number[]) {
    const path = `${pathOf(place)}?fieldManager=${MANAGER}&force=true${more}`;
    return api.call({ ...APPLY, path, body, doing: `writing the Secret ${place.name}`, expects });
  }

  async function restart({ namespace: of, restart: deployment }: Place, patch: object, more: string): Promise<void> {
    if (deployment === null) return;
    const path = `/apis/apps/v1/namespaces/${of}/deployments/${deployment}?fieldManager=${MANAGER}${more}`;
    await api.call({ ...MERGE, path, body: patch, doing: `restarting the Deployment ${deployment}` });
  }

  /** Nothing is kept of what is sent: the server only says what would come of it. */
  async function tryOut(place: Place): Promise<void> {
    await read(place);
    const fence = { client: 'doctor/check/rights', epoch: 0, store: null };
    await apply(place, secretFor(place, {}, fence, null), DRY_RUN, []);
  }

  return {
    name,
    placeOf,
    async deliver(contents) {
      const place = placeIn(config, contents.ref);
      try {
        let isWritten = false;
        for (let attempt = 1; attempt <= ATTEMPTS && !isWritten; attempt += 1) isWritten = await write(place, contents);
        if (!isWritten)
          throw new SecretTaken(`another writer changed the Secret ${place.name} ${ATTEMPTS} times meanwhile`);
        await restart(place, restartPatch(contents), '');
      } catch (error) {
        throw failed(placeOf(contents.ref), error);
      }
    },
    sets: async () => async (ref) => {
      try {
        const found = await read(placeIn(config, ref));
        return found?.fence?.client === ref ? found.delivery : null;
      } catch (error) {
        throw failed(placeOf(ref), error);
      }
    },
    reports: null,
    async check() {
      const own = clients.map(({ client }) => placeIn(config, client));
      const namespaces = new Set([namespace, ...own.map((place) => place.namespace)]);
      try {
        for (const of of namespaces) await tryOut({ namespace: of, name: `${config.prefix}.doctor`, restart: null });
        for (const place of own) await restart(place, {}, DRY_RUN);
        return null;
      } catch (error) {
        return failed(name, error).message;
      }
    },
    close() {
      void api.close();
    },
  };
}

const DRY_RUN = '&dryRun=All';

function pathOf({ namespace, name }: Place): string {
  return `/api/v1/namespaces/${namespace}/secrets/${name}`;
}

class SecretTaken extends Error {}

function failed(place: string, error: unknown): RekeydError {
  if (error instanceof RekeydError) return error;
  const hint = error instanceof KubernetesError ? error.hint : error instanceof SecretTaken ? LEAVE_IT : CONNECT;
  return sinkFailed(place, messageOf(error), hint);
}

const LEAVE_IT =
  'rekeyd writes no Secret that it did not make: delete it, put label and annotation back, or set another name';
const CONNECT = 'Check url, ca and service_account of this sink';
