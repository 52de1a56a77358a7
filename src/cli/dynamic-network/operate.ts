/** `cordage network approve`, `decline`, `list`, `token`, `allow`, `suspend` and `activate`: what the operator of a network does, at its manager's cluster. */
import { parseArgs } from 'node:util';
import type { RestClient } from '../../rest-client/rest-client.ts';
import { usageError } from '../arguments.ts';
import { columnsOf } from '../rest/columns.ts';
import { connect, connectionOptions, connectionUsage, type ConnectionArguments } from '../rest/connection.ts';
import { readable } from '../rest/table.ts';
import { isManagerPolicy } from './found.ts';
import { text } from './options.ts';
import { nameOf } from './steps.ts';

const common = { ...connectionOptions, manager: text, json: { type: 'boolean', default: false } } as const;

const commonUsage = `  --manager        short hash of the network's manager (may be left out where the cluster has one alone)
  --json           the answer for programs
${connectionUsage}`;

export const networkListUsage = `cordage network list [--all]

  Shows the members of a network, and the requests to join or to change that are under way.
  --all            ended requests too
${commonUsage}`;

export const networkApproveUsage = `cordage network approve <registrationId>

  Approves a request that waits for an operator.
${commonUsage}`;

export const networkDeclineUsage = `cordage network decline <registrationId> --reason <text> [--force]

  Declines a request that waits for an operator; the member is told the reason.
  --force          whatever its status; the reason is the manager's own then
${commonUsage}`;

export const networkTokenUsage = `cordage network token <X.500 name> [--ttl <duration>] [--remarks <text>]

  Makes a token with which a member of that name joins without waiting for an operator, once: cordage network join … --preauth-token <id>
  --ttl            for how long, for instance P7D or PT12H (default for ever)
${commonUsage}`;

export const networkAllowUsage = `cordage network allow <subject> [--remove]

  With mutual TLS: lets gateways in that show a certificate of this subject, so that their members can join. Members are let in without.
  --remove         lets them in no more, where they are not a member's
${commonUsage}`;

const standingUsage = (verb: string, what: string): string => `cordage network ${verb} <X.500 name> [--serial <number>] [--reason <text>]

  ${what}
  --serial         that the member list shows: refused where the member has changed since
${commonUsage}`;

export const networkSuspendUsage = standingUsage('suspend', 'Suspends a member: others no longer see or reach it.');
export const networkActivateUsage = standingUsage('activate', 'Activates a suspended member.');

/** The one manager of the cluster, unless one is named. */
const managerOf = async (client: RestClient, given: string | undefined): Promise<string> => {
  if (given !== undefined) return given;
  const [{ virtualNodes }, { cpis }] = await Promise.all([client.call('GET /virtualnode'), client.call('GET /cpi')]);
  const ofManagers = new Set(cpis.filter(({ groupPolicy }) => isManagerPolicy(groupPolicy)).map(({ cpiFileChecksum }) => cpiFileChecksum));
  const managers = virtualNodes.filter(({ cpiIdentifier: { cpiName, cpiVersion, signerSummaryHash } }) =>
    cpis.some(({ id, cpiFileChecksum }) => ofManagers.has(cpiFileChecksum) && id.cpiName === cpiName && id.cpiVersion === cpiVersion && id.signerSummaryHash === signerSummaryHash),
  );
  const [only, ...others] = managers.map(({ holdingIdentity }) => holdingIdentity);
  if (only === undefined) throw usageError("the cluster hosts no network's manager; name another cluster by --url or --context");
  if (others.length > 0) throw usageError(`the cluster hosts several managers; name one by --manager: ${[only, ...others].map(({ shortHash, x500Name }) => `${shortHash} (${x500Name})`).join(', ')}`);
  return only.shortHash;
};

const aboutManager = (manager: string | undefined) => (manager === undefined ? undefined : { shortHash: manager, hostedThere: false });

type Opened = { readonly client: RestClient; readonly path: { readonly holdingidentityshorthash: string } };

const open = async (values: ConnectionArguments & { readonly manager?: string | undefined }): Promise<Opened> => {
  const client = await connect(values, aboutManager(values.manager));
  return { client, path: { holdingidentityshorthash: await managerOf(client, values.manager) } };
};

const oneWord = (command: string, what: string, words: readonly string[]): string => {
  const [word, ...more] = words;
  if (word === undefined || more.length > 0) throw usageError(`network ${command} takes ${what}, in quotes where it has spaces`);
  return word;
};

const print = (json: boolean, value: unknown, spoken: string): void => console.log(json ? JSON.stringify(value ?? null, null, 2) : spoken);

export const networkList = async (args: readonly string[]): Promise<number> => {
  const { values } = parseArgs({ args: [...args], options: { ...common, all: { type: 'boolean', default: false } } });
  const { client, path } = await open(values);
  const [{ members }, requests] = await Promise.all([
    client.call('GET /members/{holdingidentityshorthash}', { path, query: { statuses: ['ACTIVE', 'SUSPENDED', 'PENDING'] } }),
    client.call('GET /mgm/{holdingidentityshorthash}/registrations', { path, query: { viewhistoric: values.all } }),
  ]);
  const width = process.stdout.isTTY ? 60 : Infinity;
  const tables = [
    'Members', readable(members, width, columnsOf('GET /members/{holdingidentityshorthash}')),
    '', values.all ? 'Requests' : 'Requests under way',
    readable(requests.map(({ memberInfoSubmitted, ...request }) => ({ name: memberInfoSubmitted.data['corda.name'] ?? null, ...request })), width),
  ];
  print(values.json, { manager: path.holdingidentityshorthash, members, requests }, tables.join('\n'));
  return 0;
};

export const networkApprove = async (args: readonly string[]): Promise<number> => {
  const { values, positionals } = parseArgs({ args: [...args], allowPositionals: true, options: common });
  const requestid = oneWord('approve', 'the id of a request', positionals);
  const { client, path } = await open(values);
  await client.call('POST /mgm/{holdingidentityshorthash}/approve/{requestid}', { path: { ...path, requestid } });
  print(values.json, null, 'approved');
  return 0;
};

export const networkDecline = async (args: readonly string[]): Promise<number> => {
  const { values, positionals } = parseArgs({ args: [...args], allowPositionals: true, options: { ...common, reason: text, force: { type: 'boolean', default: false } } });
  const requestid = oneWord('decline', 'the id of a request', positionals);
  const { reason, force } = values;
  if (reason === undefined && !force) throw usageError('network decline needs --reason, which the member is told');
  const { client, path } = await open(values);
  if (force) await client.call('POST /mgmadmin/{holdingidentityshorthash}/force-decline/{requestid}', { path: { ...path, requestid } });
  else await client.call('POST /mgm/{holdingidentityshorthash}/decline/{requestid}', { path: { ...path, requestid }, json: { reason: reason ?? '' } });
  print(values.json, null, 'declined');
  return 0;
};

export const networkToken = async (args: readonly string[]): Promise<number> => {
  const { values, positionals } = parseArgs({ args: [...args], allowPositionals: true, options: { ...common, ttl: text, remarks: text } });
  const ownerX500Name = nameOf('name', oneWord('token', "the member's X.500 name", positionals));
  const { client, path } = await open(values);
  const json = { ownerX500Name, ...(values.ttl === undefined ? {} : { ttl: values.ttl }), ...(values.remarks === undefined ? {} : { remarks: values.remarks }) };
  const made = await client.call('POST /mgm/{holdingidentityshorthash}/preauthtoken', { path, json });
  print(values.json, made, made.id);
  return 0;
};

export const networkAllow = async (args: readonly string[]): Promise<number> => {
  const { values, positionals } = parseArgs({ args: [...args], allowPositionals: true, options: { ...common, remove: { type: 'boolean', default: false } } });
  const subject = oneWord('allow', 'the subject of a TLS certificate', positionals);
  const { client, path } = await open(values);
  const named = { path: { ...path, subject } };
  if (values.remove) await client.call('DELETE /mgm/{holdingidentityshorthash}/mutual-tls/allowed-client-certificate-subjects/{subject}', named);
  else await client.call('PUT /mgm/{holdingidentityshorthash}/mutual-tls/allowed-client-certificate-subjects/{subject}', named);
  print(values.json, null, values.remove ? 'not allowed any more' : 'allowed');
  return 0;
};

const setStanding = async (verb: 'suspend' | 'activate', args: readonly string[]): Promise<number> => {
  const { values, positionals } = parseArgs({ args: [...args], allowPositionals: true, options: { ...common, serial: text, reason: text } });
  const x500Name = nameOf('name', oneWord(verb, "the member's X.500 name", positionals));
  if (values.serial !== undefined && !/^\d{1,15}$/.test(values.serial)) throw usageError(`--serial must be a whole number, not "${values.serial}"`);
  const { client, path } = await open(values);
  const json = { x500Name, ...(values.serial === undefined ? {} : { serialNumber: Number(values.serial) }), ...(values.reason === undefined ? {} : { reason: values.reason }) };
  await client.call(verb === 'suspend' ? 'POST /mgm/{holdingidentityshorthash}/suspend' : 'POST /mgm/{holdingidentityshorthash}/activate', { path, json });
  print(values.json, null, verb === 'suspend' ? 'suspended' : 'active');
  return 0;
};

export const networkSuspend = (args: readonly string[]): Promise<number> => setStanding('suspend', args);
export const networkActivate = (args: readonly string[]): Promise<number> => setStanding('activate', args);
