/** `GET /<resource>/getprotocolversion`: every resource of Corda's API says which platform version it speaks. */
import * as z from 'zod';
import { done, route } from '../routing/routing.ts';

/** Corda 5.2's platform version: what this contract is. */
export const platformVersion = 50_200;

export const int32 = z.int32().meta({ format: 'int32' });

export const protocolVersionRoute = <const Resource extends string>(resource: Resource, tag: string, resourceInV1: string = resource) =>
  route({
    method: 'GET',
    path: `/${resource}/getprotocolversion`,
    pathInV1: `/${resourceInV1}/getprotocolversion`,
    tag,
    summary: 'The platform version that this resource speaks',
    reply: int32,
    handle: async () => done(platformVersion),
  });
