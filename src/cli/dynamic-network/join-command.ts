/** `cordage network join`. */
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { usageError } from '../arguments.ts';
import { exitCodes } from '../exit-codes.ts';
import { tlsAlias } from '../network.ts';
import { connect, connectionUsage } from '../rest/connection.ts';
import type { Application } from './application.ts';
import { dynamicPolicyOf, join, managerHashOf } from './join.ts';
import { contextOf, endpointOf, memberOptions, memberOptionsUsage, needed, progressOf, readTexts, signerIn, text, texts, timeoutMsOf } from './options.ts';
import { nameOf } from './steps.ts';

export const networkJoinUsage = `cordage network join --policy <file> --name <X.500 name> --endpoint <url> (--project <folder> | --cpb <file> | --cpi <file>) [options]

  Makes a member of a network on the cluster, and waits until it is approved, is refused with a reason, or waits for the network's operator
  (exit code 7). Run again after a failure or a wait, it goes on where it stands.
  --policy         GroupPolicy.json of the network
  --name           of the member, for instance "O=Alice Corp, L=London, C=GB"
  --project        folder of an application, built and signed now; or
  --cpb            a bundle that was built before (--cpi-name and --cpi-version give its CPI others than its own); or
  --cpi            a CPI of this network
  --signer         PEM of a signer that the cluster shall trust, may be repeated: the vendor of a --cpb or --cpi
  --preauth-token  that the network's operator made for this member (cordage network token)
  --notary         X.500 name of a notary service: the member is one of its notaries
  --notary-protocol  of that service (default com.r3.corda.notary.plugin.nonvalidating, version 1)
  --again          asks anew after the network has declined a request of this member
  --session-certificate  alias of the certificate of the member's session key, in networks that want one
${memberOptionsUsage}
${connectionUsage}`;

const notaryProtocol = 'com.r3.corda.notary.plugin.nonvalidating';

type Applications = { readonly [Option in 'project' | 'cpb' | 'cpi' | 'cpi-name' | 'cpi-version']?: string | undefined };

const applicationOf = ({ project, cpb, cpi, 'cpi-name': name, 'cpi-version': version }: Applications): Application | undefined => {
  if ([project, cpb, cpi].filter((one) => one !== undefined).length > 1) throw usageError('network join takes one of --project, --cpb and --cpi');
  if ((name ?? version) !== undefined && cpb === undefined) throw usageError('--cpi-name and --cpi-version go with --cpb');
  if (project !== undefined) return { type: 'project', folder: resolve(project) };
  if (cpb !== undefined) return { type: 'cpb', file: resolve(cpb), name, version };
  return cpi === undefined ? undefined : { type: 'cpi', file: resolve(cpi) };
};

const notaryFields = (service: string | undefined, protocol: string): Record<string, string> =>
  service === undefined
    ? {}
    : {
        'corda.roles.0': 'notary',
        'corda.notary.service.name': nameOf('notary', service),
        'corda.notary.service.flow.protocol.name': protocol,
        'corda.notary.service.flow.protocol.version.0': '1',
      };

export const networkJoin = async (args: readonly string[]): Promise<number> => {
  const own = { policy: text, project: text, cpb: text, cpi: text, 'cpi-name': text, 'cpi-version': text, 'preauth-token': text, notary: text, 'session-certificate': text };
  const { values } = parseArgs({ args: [...args], options: { ...memberOptions, ...own, again: { type: 'boolean', default: false }, signer: texts, 'notary-protocol': { ...text, default: notaryProtocol } } });
  const command = 'network join';
  const policyFile = needed(command, 'policy', values.policy);
  const [policy = ''] = await readTexts('policy', [policyFile]);
  const managerHash = managerHashOf(dynamicPolicyOf(policy, policyFile), (name) => nameOf('policy', name));
  const plan = {
    policy, x500Name: nameOf('name', needed(command, 'name', values.name)), endpoint: endpointOf(needed(command, 'endpoint', values.endpoint)),
    tlsAlias: values['tls-alias'] ?? tlsAlias, application: applicationOf(values), signer: signerIn(values.key), signerPems: await readTexts('signer', values.signer),
    sessionCertificate: values['session-certificate'], isNotary: values.notary !== undefined, timeoutMs: timeoutMsOf(values.timeout), again: values.again,
    context: {
      ...notaryFields(values.notary, values['notary-protocol']),
      ...(values['preauth-token'] === undefined ? {} : { 'corda.auth.token': values['preauth-token'] }),
      ...contextOf(values['set-context']),
    },
  };
  const progress = progressOf(values.json);
  const { shortHash, registration } = await join(progress, { ...plan, client: await connect(values) });
  const { registrationId, registrationStatus: status } = registration;
  const next = status === 'APPROVED' ? null : `cordage network approve ${registrationId} --manager ${managerHash}`;
  if (values.json) console.log(JSON.stringify({ shortHash, registrationId, status, next }, null, 2));
  else if (next === null) progress.say(`\n  ${plan.x500Name} is a member: virtual node ${shortHash}.`);
  else progress.say(`\n  The network's operator must approve the request, on the manager's cluster:\n    ${next}\n  Then run this command again: it says how the request ended.`);
  return next === null ? exitCodes.done : exitCodes.othersTurn;
};
