/** `leaks`: the scanners that may send reports to `/v1/leaks` without a token, because they sign them. */
import * as field from './fields.ts';
import { flag, section } from './fields.ts';
import type { LeaksConfig, SignedByKey } from './model.ts';
import { authorities, proxy } from './route.ts';
import type { Sources } from './secrets.ts';

const ROTATE = 'Replace a key when the report holds its private half. Otherwise it is only recorded.';

/** Where GitHub publishes the keys that it signs reports with. */
const GITHUB_KEYS = 'https://api.github.com/meta/public_keys/secret_scanning';

export function leaks(sources: Sources) {
  const route = {
    proxy: proxy('How that URL is connected to: env, none, or the URL of a proxy.', sources).prefault('env'),
    ca: authorities(
      'PEM certificates of authorities that are trusted beside the usual ones: file:PATH.',
      sources,
    ).optional(),
  };
  const keysUrl = field.url('Where the scanner publishes the keys that it signs with.');
  const rotate = flag(ROTATE).prefault(false);
  const github = section({ keys_url: keysUrl.prefault(GITHUB_KEYS), ...route, rotate });
  const gitlab = section({ keys_url: keysUrl, ...route, rotate });
  const gitguardian = section({
    secret: field.secret('The signature token of the webhook: env:NAME or file:PATH.', sources, field.plainSecret),
    rotate,
  });
  const signedByKey = (
    input: { keys_url: string; rotate: boolean; ca?: readonly string[] | undefined } & Pick<
      SignedByKey['route'],
      'proxy'
    >,
  ): SignedByKey => ({
    keysUrl: input.keys_url,
    route: { proxy: input.proxy, authorities: input.ca ?? [] },
    rotate: input.rotate,
  });
  return section({
    github: github.describe('GitHub secret scanning, as a partner.').optional(),
    gitlab: gitlab.describe('GitLab, as a partner for leaked credentials.').optional(),
    gitguardian: gitguardian.describe('A custom webhook of GitGuardian.').optional(),
  }).transform(
    (input): LeaksConfig => ({
      github: input.github === undefined ? null : signedByKey(input.github),
      gitlab: input.gitlab === undefined ? null : signedByKey(input.gitlab),
      gitguardian: input.gitguardian ?? null,
    }),
  );
}
