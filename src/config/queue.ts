/** The section `queue`: which programs may ask for rotations through Redis, and for what. */
import { z } from 'zod';
import { choice, reach, section } from './fields.ts';

/** What a request may ask for: each is a right of its own. `rotate` is a rotation without a compromise; `confirm`: more than the breaker allows. */
const RIGHTS = ['rotate', 'compromise', 'confirm', 'keep_standby', 'take_over', 'try_alg'] as const;

export type ProducerRight = (typeof RIGHTS)[number];

export interface Producer {
  /** Empty: it is switched off. */
  readonly may: readonly ProducerRight[];
  /** Apps (`deployment/app-slug`) and clients that it may ask about; null: all. */
  readonly only: readonly string[] | null;
}

export interface QueueConfig {
  /** Whether requests in the queue `control` are answered: each program that may write there may ask for anything. */
  readonly requests: 'on' | 'off';
  /** By name. The requests of `siem` come in the queue `control-siem`. */
  readonly producers: Readonly<Record<string, Producer>>;
}

/** Part of a queue's name, and so of keys in Redis. */
const NAME = /^[a-z0-9][a-z0-9-]{0,39}$/;

const NOT_A_NAME = 'is not the name of a producer: write 1 to 40 small letters, digits or "-", such as siem';

const producer = section({
  may: z
    .array(choice('What it may ask for.', RIGHTS), {
      error: `is not a list: write some of ${RIGHTS.join(', ')} in brackets`,
    })
    .describe('What its requests may ask for. Empty: they fail.')
    .prefault(['rotate', 'compromise']),
  only: z
    .array(reach('An app, or a client.'), { error: 'is not a list: write apps or clients, each starting with "- "' })
    .min(1, { error: 'is empty: write at least one app or client, or leave it out for all' })
    .describe('Apps and clients that its requests may name. Absent: all.')
    .optional(),
}).transform(({ may, only }): Producer => ({ may, only: only ?? null }));

export const queue = section({
  requests: choice(
    'off: requests in the queue control fail. Commands, the HTTP API and the producers below do not use it.',
    ['on', 'off'],
  ).prefault('on'),
  producers: z
    .record(z.string().regex(NAME, NOT_A_NAME), producer, {
      error: ({ code }) => (code === 'invalid_key' ? NOT_A_NAME : 'is not a section: write producers by name below it'),
    })
    .describe(
      'Programs by name. Each asks in a queue of its own, control-NAME. Redis users decide who may write there.',
    )
    .prefault({}),
}).transform((input): QueueConfig => input);
