/** `cordage network create`. */
import { existsSync, readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { writeDurably } from '../../host/files.ts';
import { shown, usageError } from '../arguments.ts';
import { tlsAlias } from '../network.ts';
import { connect, connectionUsage } from '../rest/connection.ts';
import { found } from './found.ts';
import { contextOf, endpointOf, memberOptions, memberOptionsUsage, needed, progressOf, readTexts, signerIn, text, texts, timeoutMsOf } from './options.ts';
import { nameOf, policyOf } from './steps.ts';

export const networkCreateUsage = `cordage network create --name <X.500 name> --endpoint <url> [--out <file>] [--trust-root <file>]… [options]

  Founds a network: makes its manager on the cluster and writes the group policy that members join with. Run again after a failure, it
  goes on; run again after success, it writes the policy once more.
  --name           of the manager, for instance "O=Network, L=London, C=GB"
  --out            where the group policy goes (default GroupPolicy.json)
  --mutual-tls     members' gateways show certificates that the network allows (cordage network allow); the cluster's gateway must speak
                   mutual TLS (CORDAGE_GATEWAY_TLS); it cannot be changed later
  --session-root   PEM of an authority that certifies members' session keys, may be repeated: the network wants such certificates then
  --session-certificate  alias of the certificate of the manager's own session key, in such a network
  --trust-root     PEM of an authority that issues the certificates of members' gateways, may be repeated; it cannot be changed later
${memberOptionsUsage}
${connectionUsage}`;

/** The policy of another network is not written over. */
const write = (out: string, policy: string, groupId: string): void => {
  const other = existsSync(out) ? policyOf(readFileSync(out, 'utf8'))?.groupId : undefined;
  if (existsSync(out) && other !== groupId) throw usageError(`${out} is there and is not of this network; the network is made: run the command again with another --out`);
  writeDurably(out, policy);
};

const sessionPki = (roots: readonly string[]): Record<string, string> =>
  roots.length === 0 ? {} : { 'corda.group.pki.session': 'Standard', ...Object.fromEntries(roots.map((root, n) => [`corda.group.trustroot.session.${n}`, root])) };

export const networkCreate = async (args: readonly string[]): Promise<number> => {
  const { values } = parseArgs({ args: [...args], options: { ...memberOptions, out: { ...text, default: 'GroupPolicy.json' }, 'trust-root': texts, 'mutual-tls': { type: 'boolean', default: false }, 'session-root': texts, 'session-certificate': text } });
  const command = 'network create';
  const x500Name = nameOf('name', needed(command, 'name', values.name));
  const endpoint = endpointOf(needed(command, 'endpoint', values.endpoint));
  const plan = {
    x500Name, endpoint, tlsAlias: values['tls-alias'] ?? tlsAlias, signer: signerIn(values.key), timeoutMs: timeoutMsOf(values.timeout),
    sessionCertificate: values['session-certificate'],
    context: { ...sessionPki(await readTexts('session-root', values['session-root'])), ...(values['mutual-tls'] ? { 'corda.group.tls.type': 'Mutual' } : {}), ...contextOf(values['set-context']) }, trustRoots: await readTexts('trust-root', values['trust-root']),
  };
  const progress = progressOf(values.json);
  const { shortHash, groupId, policy } = await found(progress, { ...plan, client: await connect(values) });
  const out = resolve(values.out);
  write(out, policy, groupId);
  if (values.json) console.log(JSON.stringify({ shortHash, groupId, x500Name, policyFile: out }, null, 2));
  else progress.say(`\n  The network ${groupId} is founded; its manager is ${shortHash}.\n  Members join with ${shown(out)}:\n    cordage network join --policy ${shown(out)} --name <X.500 name> --endpoint <url> --project <folder>`);
  return 0;
};
