/**
 * Keys as Secrets of Kubernetes: one per client, with the files of a key folder. A Secret that is mounted is a key folder. Server-side apply keeps what others
 * added to it. Each write names the version that was read: Kubernetes refuses it when somebody has changed the Secret since.
 */
import type { KubernetesSinkConfig } from '../../config/sinks/model.ts';
import { messageOf, RekeydError } from '../../errors.ts';
import { fenceOf, refuseFenced } from '../fence.ts';
import { keySetTexts } from '../key-set.ts';
import type { SinkTools } from '../open.ts';
import { type Sink, type SinkContents, sinkFailed } from '../sink.ts';
import { KubernetesError, openKubernetesApi } from './api.ts';
import {
  type FoundSecret,
  isRestarted,
  MANAGER,
  type Place,
  placeIn,
  restartPatch,
  secretFor,
  secretIn,
} from './secret.ts';

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
    const doing = `reading the Secret ${place.name}`;
    const { status, body } = await api.call({ method: 'GET', path: pathOf(place), doing, expects: [404] });
    if (status === 404) return null;
    const found = secretIn(body, place);
    if (found === null) throw new Error(`Kubernetes answers ${status} without the Secret, ${doing}`);
    return found;
  }

  /** @returns false when another writer was faster */
  async function write(place: Place, contents: SinkContents): Promise<boolean> {
    const found = await read(place);
    if (found !== null) {
      if (found.fence === null)
        throw new SecretTaken(`the Secret ${place.name} is there, without the label and the annotation of rekeyd`);
      await refuseFenced(placeOf(contents.ref), found.fence, contents, store);
    }
    const [texts, fence] = [keySetTexts(contents), fenceOf(contents, store)];
    const secret = secretFor(place, texts, fence, found?.version ?? null);
    const { status, body } = await apply(place, secret, '', [409]);
    if (status === 409) return false;
    const written = secretIn(body, place);
    // The key is published next: a success that wrote nothing would leave signers without it.
    const isWritten = written?.fence?.client === fence.client && written.fence.epoch === fence.epoch;
    if (!isWritten)
      throw new Error(`Kubernetes answers ${status}, and not with the Secret ${place.name} that was written`);
    return true;
  }

  /** By force: a field that somebody changed by hand becomes ours again. */
  function apply(place: Place, body: object, more: string, expects: readonly number[]) {
    const path = `${pathOf(place)}?fieldManager=${MANAGER}&force=true${more}`;
    return api.call({ ...APPLY, path, body, doing: `writing the Secret ${place.name}`, expects });
  }

  function patchDeployment({ namespace: of, restart: deployment }: Place, patch: object, more: string) {
    const path = `/apis/apps/v1/namespaces/${of}/deployments/${deployment}?fieldManager=${MANAGER}${more}`;
    return api.call({ ...MERGE, path, body: patch, doing: `restarting the Deployment ${deployment}` });
  }

  async function restart(place: Place, contents: SinkContents): Promise<void> {
    if (place.restart === null) return;
    const { status, body } = await patchDeployment(place, restartPatch(contents), '');
    if (isRestarted(body, contents)) return;
    throw new Error(`Kubernetes answers ${status}, and not that it restarts the Deployment ${place.restart}`);
  }

  /** A dry run: the server checks the write and keeps nothing of it. */
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
        await restart(place, contents);
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
        for (const place of own) if (place.restart !== null) await patchDeployment(place, {}, DRY_RUN);
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
