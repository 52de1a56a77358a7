/** The group parameters of a dynamic network: what its operator sets, and the notary services that its members make up. */
import type { GroupParameters } from '../../../messages/member-to-all.group-parameters.ts';
import type { NotaryDetails } from '../../../messages/member-to-member.group.ts';
import { contextKeyCharsMax, contextValueCharsMax, customFieldsMax } from '../config.ts';
import { minimumPlatformVersion } from './context.ts';

const minimumKey = 'corda.minimum.platform.version';

export type ParametersInput = {
  readonly groupId: string;
  readonly epoch: number;
  readonly p2p: GroupParameters['p2p'];
  readonly custom: Readonly<Record<string, string>>;
  /** Of the active ones, by the members' names. */
  readonly notaries: Readonly<Record<string, NotaryDetails>>;
  readonly now: number;
};

/** Versions that every notary of the service speaks: whoever asks the service cannot know which of them answers. */
export const commonVersions = (notaries: readonly NotaryDetails[]): readonly number[] =>
  (notaries[0]?.protocolVersions ?? []).filter((version) => notaries.every(({ protocolVersions }) => protocolVersions.includes(version)));

const serviceMap = (prefix: string, notaries: readonly NotaryDetails[]): Record<string, string> => {
  const { serviceName, protocolName, backchainRequired } = notaries[0]!;
  const numbered = (part: string, values: readonly string[]): Record<string, string> => Object.fromEntries(values.map((value, n) => [`${prefix}.${part}.${n}`, value]));
  return {
    [`${prefix}.name`]: serviceName,
    [`${prefix}.flow.protocol.name`]: protocolName,
    [`${prefix}.backchain.required`]: String(backchainRequired),
    ...numbered('flow.protocol.version', commonVersions(notaries).map(String)),
    ...numbered('keys', [...new Set(notaries.map(({ keyPem }) => keyPem))].sort()),
  };
};

export const parametersFor = ({ groupId, epoch, p2p, custom, notaries, now }: ParametersInput): GroupParameters => {
  const services = [...Map.groupBy(Object.values(notaries), ({ serviceName }) => serviceName)].sort(([one], [other]) => (one < other ? -1 : 1));
  return {
    groupId,
    epoch,
    p2p,
    parameters: {
      [minimumKey]: minimumPlatformVersion,
      ...custom,
      ...Object.assign({}, ...services.map(([, members], n) => serviceMap(`corda.notary.service.${n}`, members))),
      'corda.epoch': String(epoch),
      'corda.modifiedTime': new Date(now).toISOString(),
    },
  };
};

/** What an operator may set, or why not. */
export const readCustom = (given: Readonly<Record<string, string>>): Readonly<Record<string, string>> | string => {
  const entries = Object.entries(given);
  const custom = entries.filter(([key]) => key.startsWith('ext.'));
  const stray = entries.find(([key]) => key !== minimumKey && !key.startsWith('ext.'));
  if (stray !== undefined) return `${JSON.stringify(stray[0].slice(0, 100))} cannot be set; ${minimumKey} and ext.* can`;
  if (custom.length > customFieldsMax) return `more than ${customFieldsMax} custom fields`;
  const long = custom.find(([key, value]) => key.length > contextKeyCharsMax || value.length > contextValueCharsMax);
  if (long !== undefined) return `${long[0].slice(0, 60)}: a key has ${contextKeyCharsMax} characters at most, a value ${contextValueCharsMax}`;
  const minimum = given[minimumKey];
  if (minimum !== undefined && !/^[1-9]\d{4,5}$/.test(minimum)) return `${minimumKey} must be a platform version, for example ${minimumPlatformVersion}`;
  return Object.fromEntries(entries);
};

export const minimumOf = ({ parameters }: GroupParameters): number => Number(parameters[minimumKey] ?? 0);
