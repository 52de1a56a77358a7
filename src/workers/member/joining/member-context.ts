/** The member context that a virtual node registers with: what the network will be told of it. */
import { defaultSpec, specsOf } from '../../../cipher/signature.ts';
import type { PublicKeyInfo } from '../../../messages/all-to-crypto.key.ts';
import type { CpiMetadata } from '../../../messages/db-to-all.cpi.ts';
import { platformVersion, softwareVersion } from '../config.ts';
import { endpointContext, notaryContext } from '../member-info.ts';
import { keyMap, tlsSubjectKey, type ContextKey, type KeyUse } from '../peer/context-map.ts';
import { certificatesMap } from '../peer/session-certificates.ts';
import type { ChosenKey, JoinContext } from './context.ts';

export const categories = { session: 'SESSION_INIT', ledger: 'LEDGER', notary: 'NOTARY' } as const satisfies Record<KeyUse, PublicKeyInfo['category']>;

/** The key and its spec, or why it will not do. */
export const fitKey = (chosen: ChosenKey, keys: readonly PublicKeyInfo[]): ContextKey | string => {
  const key = keys.find(({ id }) => id === chosen.id);
  if (key === undefined) return `this virtual node has no key ${chosen.id}, which corda.${chosen.use}.keys names; GET /key/{short hash} lists those it has`;
  if (key.category !== categories[chosen.use]) return `the key ${chosen.id} is of category ${key.category}; corda.${chosen.use}.keys want ${categories[chosen.use]}`;
  const spec = chosen.spec ?? defaultSpec(key.scheme);
  if (spec === undefined || !specsOf(key.scheme).some((known) => known === spec)) return `the key ${chosen.id} is of scheme ${key.scheme}, which does not sign by ${spec ?? 'any spec'}`;
  return { publicKey: key.publicKey, spec };
};

export type MemberContextInput = {
  readonly x500Name: string;
  readonly groupId: string;
  readonly registrationId: string;
  readonly serial: number;
  readonly cpi: CpiMetadata;
  readonly context: JoinContext;
  /** In the order of the context's keys. */
  readonly keys: readonly ContextKey[];
  /** Chains of session keys, PEM, by public key; none in a network that asks for none. */
  readonly certificates: Readonly<Record<string, string>>;
  /** Of its gateway's certificate, in a group with mutual TLS. */
  readonly tlsSubject: string | undefined;
};

export const memberContextOf = ({ x500Name, groupId, registrationId, serial, cpi, context, keys, certificates, tlsSubject }: MemberContextInput): Record<string, string> => {
  const counts = { session: 0, ledger: 0, notary: 0 };
  const named = context.keys.map(({ use }, n) => keyMap(`corda.${use}.keys.${counts[use]++}`, keys[n]!));
  return {
    'corda.name': x500Name,
    'corda.groupId': groupId,
    'corda.platformVersion': platformVersion,
    'corda.softwareVersion': softwareVersion,
    'corda.serial': String(serial),
    'corda.registration.id': registrationId,
    'corda.cpi.name': cpi.id.name,
    'corda.cpi.version': cpi.id.version,
    'corda.cpi.signer.summary.hash': cpi.id.signerSummaryHash,
    ...endpointContext(context.endpoints),
    ...(context.notary === undefined ? {} : notaryContext(context.notary)),
    ...context.custom,
    ...(tlsSubject === undefined ? {} : { [tlsSubjectKey]: tlsSubject }),
    ...Object.assign({}, ...named),
    ...certificatesMap(context.keys.flatMap(({ use }, n) => (use === 'session' ? [keys[n]!.publicKey] : [])), certificates),
  };
};
