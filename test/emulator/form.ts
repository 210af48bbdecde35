import { refusal } from './answer.ts';
import type { RawBody } from './body.ts';

const MEMBERS = [
  ...['client_id', 'client_secret', 'client_assertion_type', 'client_assertion'],
  ...['token', 'token_type_hint'],
  ...['grant_type', 'code', 'redirect_uri', 'scope', 'code_verifier', 'refresh_token'],
] as const;

/** What a runtime endpoint reads from a form. A member that is there and empty is an empty text. */
export type Form = Readonly<Partial<Record<(typeof MEMBERS)[number], string>>>;

/** @throws Refusal 413, 415, 422 */
export function readForm(body: RawBody, required: keyof Form): Form {
  if (!body.type.startsWith('application/x-www-form-urlencoded')) throw refusal(415, 'Request failed');
  if (body.tooLarge) throw refusal(413, 'Request failed');
  const form: Record<string, string> = {};
  for (const [member, value] of new URLSearchParams(body.bytes.toString())) {
    if (!isMember(member)) continue;
    if (Object.hasOwn(form, member)) throw refusal(422, 'Invalid request payload');
    form[member] = value;
  }
  if (!Object.hasOwn(form, required)) throw refusal(422, 'Invalid request payload');
  return form;
}

/** Whatever can be read, for the log. */
export function peekForm(body: RawBody): Form {
  return Object.fromEntries(new URLSearchParams(body.bytes.toString()));
}

function isMember(member: string): member is keyof Form {
  return MEMBERS.some((known) => known === member);
}
