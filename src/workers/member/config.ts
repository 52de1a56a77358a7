/** Bounds of the member room, with unit and reason, and what it tells others of the platform. */

export { registrationContextMax } from '../../messages/rest-to-member.registration.ts';

/** Registrations remembered of one virtual node; the oldest that failed are forgotten. */
export const registrationsMax = 20;

/** UTF-16 code units of one registration's context, keys and values: all that are remembered fit into one answer. */
export const contextCharsMax = 30_000;

/** Custom fields `ext.*` of a member, and the length of a key and of any value, in UTF-16 code units (Corda). */
export const customFieldsMax = 100;
export const contextKeyCharsMax = 128;
export const contextValueCharsMax = 800;

/** UTF-16 code units of an answer's value as JSON text: a record (1,000,000) less its envelope and ids. */
export const replyCharsMax = 990_000;

/** Parsed group policies kept in memory, by the checksum of their CPI: a cluster has a few networks. */
export const policiesCachedMax = 50;

/** What a member's context says of us. */
export { platformVersion, softwareVersion } from '../../messages/grammar/platform.ts';
