/** A greeting: the smallest operation, for trying out an address and a login. */
import * as z from 'zod';
import { text } from '../parameter.ts';
import { done, route } from '../routing/routing.ts';

const addresseeCharsMax = 1_000;

export const helloRoutes = [
  route({
    method: 'POST',
    path: '/hello',
    tag: 'Hello Rest',
    summary: 'Greets the addressee',
    queryParameters: { addressee: text(z.string().max(addresseeCharsMax)) },
    reply: z.string(),
    handle: async ({ query, login }) => done(`Hello, ${query.addressee}! (from ${login})`),
  }),
];
