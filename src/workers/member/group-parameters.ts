/** Group parameters of a static network: those of the policy, and the notary services whose members joined on this cluster. */
import type { GroupParameters } from '../../messages/member-to-all.group-parameters.ts';
import type { NotaryDetails } from '../../messages/member-to-member.group.ts';
import { platformVersion } from './config.ts';
import type { StaticPolicy } from './network.ts';
import type { GroupState } from './state.ts';

type Parameters = Record<string, string>;

const servicePrefix = (index: number): string => `corda.notary.service.${index}`;
const serviceName = /^corda\.notary\.service\.(\d+)\.name$/;

/** Services that the policy lists itself: their names and numbers. */
const listedServices = (parameters: Parameters): Map<string, number> =>
  new Map(
    Object.entries(parameters).flatMap(([key, name]) => {
      const index = serviceName.exec(key)?.[1];
      return index === undefined ? [] : [[name, Number(index)]];
    }),
  );

const serviceParameters = (prefix: string, { serviceName: name, protocolName, protocolVersions, backchainRequired }: NotaryDetails): Parameters => ({
  [`${prefix}.name`]: name,
  [`${prefix}.flow.protocol.name`]: protocolName,
  [`${prefix}.backchain.required`]: String(backchainRequired),
  ...Object.fromEntries(protocolVersions.map((version, n) => [`${prefix}.flow.protocol.version.${n}`, String(version)])),
});

/** Keys that the policy gives a service stay first; joined notaries add theirs, in the order of their text. */
const addKeys = (parameters: Parameters, prefix: string, pems: readonly string[]): void => {
  let next = 0;
  while (parameters[`${prefix}.keys.${next}`] !== undefined) next++;
  const known = new Set(Object.values(parameters));
  for (const pem of [...pems].sort()) if (!known.has(pem)) parameters[`${prefix}.keys.${next++}`] = pem;
};

export const parametersOf = (policy: StaticPolicy, { notaries, epoch, modifiedAt }: Pick<GroupState, 'notaries' | 'epoch' | 'modifiedAt'>): Parameters => {
  const parameters: Parameters = {
    'corda.minimum.platform.version': platformVersion,
    ...policy.groupParameters,
    'corda.epoch': String(epoch),
    'corda.modifiedTime': new Date(modifiedAt).toISOString(),
  };
  const indexes = listedServices(parameters);
  const byService = Map.groupBy(Object.values(notaries), (notary) => notary.serviceName);
  for (const name of [...byService.keys()].sort()) {
    const members = byService.get(name)!;
    const listed = indexes.get(name);
    const index = listed ?? Math.max(-1, ...indexes.values()) + 1;
    indexes.set(name, index);
    if (listed === undefined) Object.assign(parameters, serviceParameters(servicePrefix(index), members[0]!));
    addKeys(parameters, servicePrefix(index), members.map(({ keyPem }) => keyPem));
  }
  return parameters;
};

export const groupParametersOf = (policy: StaticPolicy, state: Pick<GroupState, 'notaries' | 'epoch' | 'modifiedAt'>): GroupParameters => {
  const { protocolMode, sessionPki, sessionTrustRoots, tlsType, tlsTrustRoots } = policy.p2p;
  return {
    groupId: policy.groupId,
    epoch: state.epoch,
    parameters: parametersOf(policy, state),
    p2p: { protocolMode, sessionPki, sessionTrustRoots: [...sessionTrustRoots], tlsType, tlsTrustRoots: [...tlsTrustRoots] },
  };
};
