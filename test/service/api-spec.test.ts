/** A client that knows nothing but `openapi.json`: it calls every operation with its example, and holds each answer against the document. */
import { Ajv2020 } from 'ajv/dist/2020.js';
import { expect, test } from 'vitest';
import { caller, makeToken } from '../support/api.ts';
import { startFleet } from '../support/fleet.ts';

interface Operation {
  readonly operationId: string;
  readonly security: readonly object[];
  readonly parameters: readonly { readonly name: string; readonly in: string; readonly example?: unknown }[];
  readonly requestBody?: { readonly content: Readonly<Record<string, { schema: object; example?: unknown }>> };
  readonly responses: Readonly<Record<string, { readonly content?: Readonly<Record<string, { schema: object }>> }>>;
}

interface Spec {
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
}

/** Why the answer is not what the document says; null when it is. */
function checker(spec: Spec) {
  // Times and the like have patterns, too.
  const ajv = new Ajv2020({ strict: false, validateFormats: false, allErrors: true });
  ajv.addSchema(spec, 'spec');
  /** @param at where the schema is, as a JSON pointer */
  return (at: readonly string[], value: unknown): string | null => {
    const pointer = at.map((part) => encodeURIComponent(part.replaceAll('~', '~0').replaceAll('/', '~1'))).join('/');
    const validate = ajv.compile({ $ref: `spec#/${pointer}` });
    return validate(value) ? null : ajv.errorsText(validate.errors);
  };
}

/** No request waits for a second person here: that is tested with what makes one wait. */
const WITHOUT_SUCCESS = ['approveRequest'];

test('every operation answers as openapi.json says, to who may call it and to who may not', async () => {
  const app = { slug: 'mcp-auth', selection: 'first_pem' } as const;
  const fleet = await startFleet({ apps: [app], config: { http: { listen: '127.0.0.1:0' } } });
  const client = await fleet.managed(app);
  await fleet.foreign(app);
  const { url } = await fleet.start({ http: true });
  const named = caller(url ?? '', await makeToken(fleet, { scopes: ['read', 'rotate', 'metrics'] }));
  const nobody = caller(url ?? '', '');
  const spec: Spec = (await nobody('/openapi.json')).body;
  const check = checker(spec);
  const json = { select: { clients: [client.ref] }, reason: 'a drill' };
  const { request, rotations } = (await named('/v1/rotations', { json })).body;
  const [{ id }] = rotations;
  await fleet.reached(client, id);
  const [, , clientId = ''] = client.ref.split('/');
  const real: Readonly<Record<string, string>> = { id, request, client: clientId };
  const exampleOf = (text: string) => text.replaceAll('185019846023/mcp-auth/4711', client.ref);

  for (const [path, operations] of Object.entries(spec.paths)) {
    for (const [method, operation] of Object.entries(operations)) {
      const { operationId, parameters, requestBody, responses, security } = operation;
      const valueFor = (name: string) => real[name] ?? String(parameters.find((one) => one.name === name)?.example);
      const query = parameters.filter((one) => one.in === 'query' && one.example !== undefined);
      const place = path.replaceAll(/\{(\w+)\}/g, (_, name) => encodeURIComponent(valueFor(name)));
      const search = new URLSearchParams(Object.fromEntries(query.map(({ name, example }) => [name, String(example)])));
      const [[type, media] = []] = Object.entries(requestBody?.content ?? {});
      const body = media?.example === undefined ? undefined : exampleOf(JSON.stringify(media.example));
      if (type !== undefined && media?.example !== undefined) {
        const at = ['paths', path, method, 'requestBody', 'content', type, 'schema'];
        expect(check(at, media.example), `${operationId}: its example`).toBeNull();
      }
      const sent = {
        method: method.toUpperCase(),
        ...(body !== undefined && { body, headers: { 'content-type': type ?? '' } }),
      };
      for (const call of [named, nobody]) {
        const answer = await call(`${place}?${search}`, sent);
        const about = `${operationId}: ${answer.status} ${JSON.stringify(answer.body).slice(0, 300)}`;
        const told = responses[answer.status];
        expect(told, about).toBeDefined();
        const content = told?.content;
        if (content === undefined) continue;
        expect(Object.keys(content), about).toContain(answer.type);
        const at = ['paths', path, method, 'responses', `${answer.status}`, 'content', answer.type, 'schema'];
        expect(check(at, answer.body), about).toBeNull();
        if (call === nobody && security.length > 0) expect(answer.status, about).toBe(401);
        else if (!WITHOUT_SUCCESS.includes(operationId)) expect(answer.status, about).toBeLessThan(300);
      }
    }
  }
  const { clients } = (await named('/v1/clients')).body;
  expect(clients.length, 'and documents of some variety were looked at').toBeGreaterThan(0);
});
