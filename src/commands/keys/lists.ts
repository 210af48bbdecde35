/** The client lists that an import of many keys needs: each is read once. */
import { appsIn } from '../../../jobs/renamed.ts';
import { policyFor } from '../../config/lookup.ts';
import { type ClientRef, makeReference } from '../../core/client.ts';
import type { ObservedClient } from '../../core/document.ts';
import { isEligible } from '../../core/due.ts';
import { messageOf, RekeydError } from '../../errors.ts';
import { noteFailedRead, turnForList } from '../../rotation/deployment.ts';
import type { Listed } from '../../rotation/import.ts';
import type { DeploymentResources, Resources } from '../../rotation/resources.ts';
import type { KeyFile, Unusable } from './files.ts';
import { type Candidate, type FleetLists, placeOf, wantedBy } from './match.ts';

/** An API that does not answer keeps no other deployment waiting. */
export async function readFleet(
  resources: Resources,
  files: readonly KeyFile[],
  signal: AbortSignal,
): Promise<FleetLists> {
  const places = appsIn(resources.config);
  const isWanted = wantedBy(files, places);
  const needed = neededPlaces(files, places);
  const candidates: Candidate[] = [];
  const listed = new Map<ClientRef, Listed>();
  const unreadable = new Map<string, string>();
  const unread: Unusable[] = [];

  async function readApp(deployment: DeploymentResources, slug: string): Promise<void> {
    const { id } = deployment.config;
    const readAt = await resources.store.now();
    const keep = async (clients: readonly ObservedClient[]) => {
      for (const client of clients) {
        const one = { ref: makeReference(id, slug, client.id), clientId: client.clientId };
        const wanted = isWanted(one);
        if (wanted) listed.set(one.ref, { client, readAt });
        if (wanted || (isEligible(client) && policyFor(resources.config, one.ref) !== null)) candidates.push(one);
      }
      return [];
    };
    await turnForList(resources, deployment, false);
    const list = await deployment.wacht.listClients(slug, keep, signal);
    for (const [row, problem] of list.unreadable) unreadable.set(`${id}/${slug}/${row}`, problem);
  }

  await Promise.all(
    [...resources.deployments.values()].map(async (deployment) => {
      const { id, apps } = deployment.config;
      for (const { slug } of apps.filter((app) => needed.has(`${id}/${app.slug}`))) {
        try {
          await readApp(deployment, slug);
        } catch (error) {
          if (!(error instanceof RekeydError) || error.code !== 'api_failed') throw error;
          await noteFailedRead(resources, deployment, error);
          unread.push({ file: `${id}/${slug}`, reason: messageOf(error) });
        }
      }
    }),
  );
  return { candidates, listed, unreadable, unread };
}

/** Those of the apps that the files name, or all where one of them is named by an id alone. */
function neededPlaces(files: readonly KeyFile[], places: ReadonlySet<string>): ReadonlySet<string> {
  const named = files.map(({ names }) => names.map(placeOf));
  const isPlaced = named.every((some) => some.every((place) => place !== null && places.has(place)));
  return isPlaced ? new Set(named.flat().filter((place) => place !== null)) : places;
}
