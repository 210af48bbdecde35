/** Runs one case of the table against the signer for Node.js. */
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { decodeProtectedHeader, jwtVerify } from 'jose';
import { expect } from 'vitest';
import { openSigner, type Signer, SignerError, signingFetch } from '../../../src/signer/index.ts';
import { until } from '../../support/until.ts';
import { keyFolder, tableKeys } from './key-folder.ts';
import type { AnswerSpec, Case, Claims, KeySetSpec, Step } from './schema.ts';

/** Seconds since the Unix epoch. */
const T = 1_800_000_000;
const CLIENT = 'client-4711';
const AUDIENCE = 'https://auth.example.com/oauth/token';

/** Members of a step that are not its name. */
type StepOf<Name extends string> = Extract<Step, { readonly [name in Name]: unknown }>;

export async function runCase({ steps, algs, layout, clock = 0 }: Case): Promise<void> {
  const root = await mkdtemp(join(tmpdir(), 'rekeyd-table-'));
  const keyOf = tableKeys(algs);
  const folder = keyFolder(root, layout, keyOf);
  const seenJtis = new Set<unknown>();
  let signers: Signer[] = [];
  let told: unknown[] = [];
  let now = clock;

  async function open(): Promise<Signer> {
    const tell = (error: unknown) => void told.push(error);
    const options = { clock: () => (T + now) * 1000, onReloadError: tell, onClockError: tell, onReportError: tell };
    const signer = await openSigner(folder.path, options);
    signers.push(signer);
    return signer;
  }

  function signer(): Signer {
    const last = signers.at(-1);
    if (last === undefined) throw new Error('the case opens no signer');
    return last;
  }

  async function close(): Promise<void> {
    for (const one of signers.splice(0)) await one.close();
  }

  /** What holds of every assertion. @returns what a case may ask about one */
  async function check(assertion: string, lifetime = 60): Promise<Required<Claims>> {
    const { kid = '', alg } = decodeProtectedHeader(assertion);
    const key = keyOf(kid);
    expect(alg).toBe(key.alg);
    const currentDate = new Date((T + now) * 1000);
    const { payload } = await jwtVerify(assertion, key.publicKey, { currentDate, clockTolerance: 100_000 });
    const { iat = 0, exp = 0, jti } = payload;
    expect(payload).toMatchObject({ iss: CLIENT, sub: CLIENT, aud: AUDIENCE });
    expect(exp - iat).toBe(lifetime);
    expect(seenJtis.has(jti) || jti === undefined, `jti ${jti} is fresh`).toBe(false);
    seenJtis.add(jti);
    return { kid, iat: iat - T, exp: exp - T };
  }

  async function signIn({ authenticate: answers, expect: expected }: StepOf<'authenticate'>): Promise<void> {
    const requests: string[] = [];
    const transport = async (_url: unknown, init?: RequestInit): Promise<Response> => {
      const form = new URLSearchParams(String(init?.body));
      requests.push(form.get('client_assertion') ?? '');
      const answer = answers[requests.length - 1];
      if (answer === undefined) throw new Error('a request more than the case has answers');
      return respond(answer);
    };
    const respond = async (answer: AnswerSpec): Promise<Response> => {
      if ('fails' in answer) throw new TypeError('fetch failed');
      if (answer.first !== undefined) await folder.deliver(answer.first);
      const { status, body = {}, text, date } = answer;
      const headers = new Headers({ 'content-type': text === undefined ? 'application/json' : 'text/plain' });
      if (date !== undefined) headers.set('date', new Date((T + date) * 1000).toUTCString());
      return new Response(text ?? JSON.stringify(body), { status, headers });
    };
    const body = new URLSearchParams({ grant_type: 'client_credentials' });
    const result = await came(() => signingFetch(signer(), { fetch: transport })(AUDIENCE, { method: 'POST', body }));
    const sent = await Promise.all(requests.map((assertion) => check(assertion)));
    const last = answers[requests.length - 1];
    if ('value' in result) {
      // Not by text(), which leaves out a byte order mark.
      const text = Buffer.from(await result.value.arrayBuffer()).toString();
      expect({ sent, status: result.value.status }).toMatchObject({ sent: expected.sent, status: expected.status });
      if (last !== undefined && !('fails' in last)) expect(text).toBe(last.text ?? JSON.stringify(last.body ?? {}));
    } else if (result.error instanceof SignerError) {
      expect({ sent, error: result.error.code }).toEqual({ sent: [], error: expected.error });
    } else {
      expect({ sent, fails: last !== undefined && 'fails' in last }).toMatchObject({
        sent: expected.sent,
        fails: expected.fails,
      });
    }
    expect(sent).toHaveLength(expected.sent?.length ?? 0);
  }

  async function assertOnce({ assertion: { lifetime }, expect: expected }: StepOf<'assertion'>): Promise<void> {
    const request = { audience: AUDIENCE, ...(lifetime === undefined ? {} : { lifetime }) };
    const result = await came(() => signer().assertion(request));
    const { told: _, error, ...claims } = expected;
    if ('error' in result) expect(codeOf(result.error)).toBe(error);
    else {
      expect(error).toBeUndefined();
      expect(await check(result.value.assertion, lifetime)).toMatchObject(claims);
    }
  }

  /** Puts sets in place over and over until the work is done. */
  async function swapDuring<R>(sets: readonly KeySetSpec[], work: () => Promise<R>): Promise<R> {
    let isDone = false;
    const working = work().finally(() => {
      isDone = true;
    });
    const swapping = (async () => {
      for (let round = 0; !isDone; round++) await folder.deliver(sets[round % sets.length] ?? {});
    })();
    const [made] = await Promise.all([working, swapping]);
    return made;
  }

  async function expectKids(assertions: readonly string[], kids: readonly string[]): Promise<void> {
    for (const assertion of assertions) expect(kids).toContain((await check(assertion)).kid);
  }

  async function assertMany({ assertions, while: sets, expect: { kids } }: StepOf<'assertions'>): Promise<void> {
    const made = await swapDuring(sets, () =>
      Promise.all(Array.from({ length: assertions }, () => signer().assertion({ audience: AUDIENCE }))),
    );
    await expectKids(
      made.map(({ assertion }) => assertion),
      kids,
    );
  }

  async function openMany({ opens, while: sets, expect: { kids } }: StepOf<'opens'>): Promise<void> {
    const made = await swapDuring(sets, async () => {
      const assertions: string[] = [];
      for (let round = 0; round < opens; round++) {
        assertions.push((await (await open()).assertion({ audience: AUDIENCE })).assertion);
        await close();
      }
      return assertions;
    });
    await expectKids(made, kids);
  }

  async function expectReport({ report }: StepOf<'report'>): Promise<void> {
    const reports = join(folder.path, 'signers');
    const wanted = report === null ? [] : [{ name: `${hostname()}-${process.pid}.json`, ...report }];
    await until(`the report is ${JSON.stringify(report)}`, async (saw) => {
      const names = (await readdir(reports).catch((): string[] => [])).filter((name) => name.endsWith('.json'));
      const read = async (name: string) => ({ name, ...JSON.parse(await readFile(join(reports, name), 'utf8')) });
      const found = await Promise.all(names.map(read)).catch(() => []);
      return JSON.stringify(saw(found.map(({ at: _, ...rest }) => rest))) === JSON.stringify(wanted);
    });
  }

  async function run(step: Step): Promise<void> {
    if ('deliver' in step) await folder.deliver(step.deliver, step.damage);
    else if ('folder' in step) await folder.change(step.folder);
    else if ('clock' in step) now = step.clock;
    else if ('open' in step) {
      const result = await came(open);
      expect('error' in result ? codeOf(result.error) : undefined).toBe(step.expect?.error);
    } else if ('assertion' in step) await assertOnce(step);
    else if ('authenticate' in step) await signIn(step);
    else if ('assertions' in step) await assertMany(step);
    else if ('opens' in step) await openMany(step);
    else if ('report' in step) await expectReport(step);
    else await close();
    const codes = new Set(told.map(codeOf));
    told = [];
    const expected = 'expect' in step ? step.expect?.told : [];
    expect([...codes].sort(), 'what is told').toEqual([...(expected ?? [])].sort());
  }

  try {
    for (const [index, step] of steps.entries()) {
      await run(step).catch((error: unknown) => {
        if (error instanceof Error) error.message = `step ${index + 1}: ${JSON.stringify(step)}\n${error.message}`;
        throw error;
      });
    }
  } finally {
    await close();
    signers = [];
    await rm(root, { recursive: true, force: true });
  }
}

async function came<T>(work: () => Promise<T>): Promise<{ readonly value: T } | { readonly error: unknown }> {
  try {
    return { value: await work() };
  } catch (error) {
    return { error };
  }
}

function codeOf(error: unknown): unknown {
  return error instanceof SignerError ? error.code : error;
}
