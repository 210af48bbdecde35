/** `openapi.json` (OpenAPI 3.1), made of the same descriptions and schemas that requests are checked by. */
import { z } from 'zod';
import packageFile from '../../package.json' with { type: 'json' };
import { problemSchema } from './problem.ts';
import { type AnswerDoc, publicRoute, type Route } from './route.ts';

type Json = { readonly [name: string]: unknown };

/** The document, served to everybody: it says nothing of this worker. */
export function specRoute(routes: readonly Route[]): Route {
  let text: string | null = null;
  return publicRoute({
    ...{ method: 'GET', path: '/openapi.json', scope: null, id: 'getOpenapi' },
    summary: 'This document.',
    answers: { 200: { description: 'OpenAPI 3.1.' } },
    async handle() {
      text ??= JSON.stringify(openapi(routes));
      return { status: 200, headers: { 'content-type': 'application/json' }, body: text };
    },
  });
}

export function openapi(routes: readonly Route[]): Json {
  const schemas: Record<string, unknown> = {};
  const paths: Record<string, Record<string, unknown>> = {};
  for (const route of routes) {
    const path = paths[route.path] ?? {};
    path[route.method.toLowerCase()] = operation(route, schemas);
    paths[route.path] = path;
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'rekeyd',
      version: packageFile.version,
      summary: 'Rotates the signing keys of OAuth clients.',
      description: 'How to use it: docs/api.md. Errors are problem documents (RFC 9457).',
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    servers: [{ url: 'http://127.0.0.1:8080', description: 'http.listen of the config' }],
    paths,
    components: {
      securitySchemes: {
        token: { type: 'http', scheme: 'bearer', description: '`rekeyd token create NAME --scope SCOPE`' },
        certificate: { type: 'mutualTLS', description: 'Where the config has http.certificates.' },
      },
      schemas,
    },
  };
}

function operation(route: Route, schemas: Record<string, unknown>): Json {
  const { id, summary, description, scope, isSigned, answers } = route;
  const content = bodyContent(route, schemas);
  const own = Object.entries(answers).map(([status, answer]) => [status, response(answer, schemas)]);
  const problems = Object.entries(problemsOf(route)).map(([status, text]) => [
    status,
    response({ description: text, schema: problemSchema, type: 'application/problem+json' }, schemas),
  ]);
  return {
    operationId: id,
    summary,
    ...(description !== undefined && { description }),
    // OpenAPI 3.1 lets any scheme name what it asks for.
    security: scope === null ? [] : [{ token: [scope] }, { certificate: [scope] }, ...(isSigned ? [{}] : [])],
    parameters: parameters(route, schemas),
    ...(content !== null && { requestBody: { required: true, content } }),
    responses: Object.fromEntries([...own, ...problems]),
  };
}

/** By media type; null: there is no body. */
function bodyContent({ body, rawBody, accepts, examples }: Route, schemas: Record<string, unknown>): Json | null {
  const schema = body ?? rawBody;
  if (schema === undefined) return null;
  const json = {
    schema: schemaOf(schema, 'input', schemas),
    ...(examples?.body !== undefined && { example: examples.body }),
  };
  const others = accepts?.filter((type) => type !== 'application/json') ?? [];
  return { 'application/json': json, ...Object.fromEntries(others.map((type) => [type, {}])) };
}

/** Problems of every route with such parts, and its own. */
function problemsOf({
  scope,
  body: parsed,
  rawBody,
  params,
  query,
  problems,
}: Route): Readonly<Record<string, string>> {
  const body = parsed ?? rawBody;
  const takes = body !== undefined || params !== undefined || query !== undefined;
  return {
    ...(takes && { 400: 'The request cannot be used; `errors` says why.' }),
    ...(scope !== null && {
      401: 'There is no token, or it is not accepted.',
      403: 'The token may not do this.',
    }),
    ...(body !== undefined && {
      413: 'The body is larger than 1 MiB.',
      415: 'The body has no content type that this takes.',
    }),
    429: 'Too many requests: Retry-After says how long to wait.',
    503: 'The store cannot be worked with now.',
    ...problems,
  };
}

function parameters({ params, query, requestHeaders = {}, examples }: Route, schemas: Record<string, unknown>) {
  const named = (where: 'path' | 'query', shape: z.ZodObject['shape']) =>
    Object.entries(shape).map(([name, schema]) => {
      const { description, ...rest } = schemaOf(schema as z.ZodType, 'input', schemas); // shapes hold schemas alone
      const example = examples?.[where === 'path' ? 'params' : 'query']?.[name];
      return {
        ...{ name, in: where, required: where === 'path' },
        ...(description !== undefined && { description }),
        ...(example !== undefined && { example }),
        schema: rest,
      };
    });
  const headers = Object.entries(requestHeaders).map(([name, { description, schema }]) => ({
    ...{ name, in: 'header', required: false, description },
    schema: schemaOf(schema, 'input', schemas),
  }));
  return [...named('path', params?.shape ?? {}), ...named('query', query?.shape ?? {}), ...headers];
}

function response(
  { description, schema, type = 'application/json', headers = {} }: AnswerDoc,
  schemas: Record<string, unknown>,
): Json {
  const told = Object.entries(headers).map(([name, text]) => [name, { description: text, schema: { type: 'string' } }]);
  return {
    description,
    ...(told.length > 0 && { headers: Object.fromEntries(told) }),
    ...(schema !== undefined && { content: { [type]: { schema: schemaOf(schema, 'output', schemas) } } }),
  };
}

/** Schemas with a name go to the components of the document. */
function schemaOf(schema: z.ZodType, io: 'input' | 'output', schemas: Record<string, unknown>): Json {
  const { $schema: _, $defs = {}, ...own } = z.toJSONSchema(schema, { io, reused: 'inline' });
  const rewritten = (part: unknown): Json =>
    JSON.parse(JSON.stringify(part).replaceAll('"#/$defs/', '"#/components/schemas/'));
  for (const [name, part] of Object.entries($defs)) schemas[name] = rewritten(withoutId(part));
  const { id } = own;
  if (typeof id !== 'string') return rewritten(own);
  schemas[id] = rewritten(withoutId(own));
  return { $ref: `#/components/schemas/${id}` };
}

function withoutId(schema: object): Json {
  const { id: _, ...rest } = { ...schema } as Json; // a copy with the same members
  return rest;
}
