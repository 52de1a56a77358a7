/** corda.crypto: keys in memory, and the wrapping keys at the root. */
import * as z from 'zod';
import { section, secret, whole } from './field.ts';

const wrappingKey = z.strictObject({
  alias: z.string().min(1).max(64).meta({ description: 'Its name.' }),
  salt: z.string().min(8).max(1_000).meta({ description: 'What is hashed beside the passphrase.' }),
  passphrase: secret({ says: 'What it is derived from.' }),
});

export const cryptoSection = section({
  says: 'Keys: how long they stay unwrapped in memory, and what wraps them.',
  schema: z.strictObject({
    caching: z
      .strictObject({
        expireAfterAccessMins: whole({ byDefault: 5, min: 1, max: 60, unit: 'min', says: 'How long an unwrapped key stays in memory.' }),
        maximumSize: whole({ byDefault: 2_000, min: 10, max: 100_000, unit: 'keys', says: 'Signing keys kept unwrapped.' }),
      })
      .prefault({}),
    hsm: z
      .strictObject({
        wrappingKeys: z.array(wrappingKey).max(10).default([]).meta({ description: 'Root wrapping keys beside that of CORDAGE_CRYPTO_PASSPHRASE, whose alias is `root`. Read when a crypto worker starts.' }),
        defaultWrappingKey: z.string().min(1).max(64).default('root').meta({ description: 'Alias of the one that wraps what is made or rotated; the others only open. Read when a crypto worker starts.' }),
      })
      .prefault({})
      .superRefine(({ wrappingKeys, defaultWrappingKey }, context) => {
        const aliases = wrappingKeys.map(({ alias }) => alias);
        if (new Set(['root', ...aliases]).size <= aliases.length) context.addIssue({ code: 'custom', path: ['wrappingKeys'], message: 'two wrapping keys have the same alias (`root` is taken)' });
        if (defaultWrappingKey !== 'root' && !aliases.includes(defaultWrappingKey)) context.addIssue({ code: 'custom', path: ['defaultWrappingKey'], message: 'no wrapping key has this alias' });
      }),
  }),
  ignored: {
    retrying: 'requests are repeated by who made them',
    'hsm.retrying': 'requests are repeated by who made them',
  },
});
