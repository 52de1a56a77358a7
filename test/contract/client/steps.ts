/**
 * What Corda's own developer tooling does with a new cluster (rest-behaviour, section 3, steps 1 to 11), by a client that was generated
 * from the contract and knows nothing of ours. Made to run after `client.ts` beside this folder has generated the types.
 */
import createClient from 'openapi-fetch';
import type { paths } from './generated/contract.d.ts';

export type Given = {
  /** Of the REST server, without the API's path. */
  readonly url: string;
  readonly login: string;
  readonly password: string;
  /** A package for a static network of the two members, and who signed it. */
  readonly cpi: Blob;
  readonly signerPem: string;
  readonly members: readonly [alice: string, bob: string];
  readonly flowClassName: string;
};

const untilMsMax = 30_000;
const pauseMs = 50;

type Answered<Data> = { data?: Data; error?: unknown; response: Response };

/** The value of a success; a status that was not expected ends the run. */
const expectStatus = <Data>(step: string, wanted: number, { data, error, response }: Answered<Data>): Data => {
  if (response.status !== wanted) throw new Error(`${step}: ${response.status} in place of ${wanted}: ${JSON.stringify(error)}`);
  // A success has the data of its type.
  return data as Data;
};

const until = async <Data>(step: string, ask: () => Promise<Answered<Data>>, isThere: (data: Data) => boolean): Promise<Data> => {
  for (const deadline = Date.now() + untilMsMax; ; ) {
    const data = expectStatus(step, 200, await ask());
    if (isThere(data)) return data;
    if (Date.now() > deadline) throw new Error(`${step}: still ${JSON.stringify(data)}`);
    await new Promise((resolve) => setTimeout(resolve, pauseMs));
  }
};

const formOf = (fields: Record<string, string | Blob>): FormData => {
  const form = new FormData();
  for (const [name, value] of Object.entries(fields)) form.append(name, value);
  return form;
};

/** Runs the steps; gives what each came to. */
export const runSteps = async (given: Given): Promise<string[]> => {
  const client = createClient<paths>({ baseUrl: `${given.url}/api/v5_2`, headers: { authorization: `Basic ${btoa(`${given.login}:${given.password}`)}`, accept: 'application/json' } });
  const said: string[] = [];

  // 1. The signer is trusted. (The generator knows binary fields as texts; the serializer sends the file.)
  const trusted = await client.PUT('/certificate/cluster/{usage}', {
    params: { path: { usage: 'code-signer' } },
    body: { alias: 'gradle-plugin-default-key', certificate: [given.signerPem] },
    bodySerializer: () => formOf({ alias: 'gradle-plugin-default-key', certificate: new Blob([given.signerPem]) }),
  });
  expectStatus('1 trust the signer', 204, trusted);
  said.push('1 signer trusted');

  // 2 and 3. The package with its static group policy is uploaded.
  const uploaded = await client.POST('/cpi', { body: { upload: 'the file' }, bodySerializer: () => formOf({ upload: given.cpi }) });
  const { id } = expectStatus('3 upload', 200, uploaded);

  // 4. Until it is verified.
  const { cpiFileChecksum } = await until('4 status of the upload', () => client.GET('/cpi/status/{id}', { params: { path: { id } } }), ({ status }) => status === 'OK');
  said.push(`4 CPI ${/^[0-9A-F]{12}$/.test(cpiFileChecksum) ? 'verified' : `has the checksum ${cpiFileChecksum}`}`);

  // 5. A virtual node for each member.
  const hashes: string[] = [];
  for (const x500Name of given.members) {
    const { requestId } = expectStatus('5 create', 202, await client.POST('/virtualnode', { body: { cpiFileChecksum, x500Name } }) as Answered<{ requestId: string }>);
    const { resourceId } = await until('5 status', () => client.GET('/virtualnode/status/{requestid}', { params: { path: { requestid: requestId } } }), ({ status }) => status === 'SUCCEEDED');
    hashes.push(resourceId!);
  }
  said.push(`5 ${hashes.length} virtual nodes`);

  // 6 and 7. Each registers, and finds itself and the other.
  for (const holdingidentityshorthash of hashes) {
    const path = { holdingidentityshorthash };
    const submitted = expectStatus('6 register', 200, await client.POST('/membership/{holdingidentityshorthash}', { params: { path }, body: { context: { 'corda.key.scheme': 'CORDA.ECDSA.SECP256R1' } } }));
    if (submitted.registrationStatus !== 'SUBMITTED') throw new Error(`6 register: ${submitted.registrationStatus}`);
    await until('7 registration', () => client.GET('/membership/{holdingidentityshorthash}', { params: { path } }), (all) => all.some(({ registrationStatus }) => registrationStatus === 'APPROVED'));
  }
  const alice = { holdingidentityshorthash: hashes[0]! };
  const { members } = await until('7 members', () => client.GET('/members/{holdingidentityshorthash}', { params: { path: alice } }), (found) => found.members.length === 2);
  said.push(`7 ${members.length} members`);

  // 8. The flow may be started.
  const { flowClassNames } = expectStatus('8 flows', 200, await client.GET('/flowclass/{holdingidentityshorthash}', { params: { path: alice } }));
  if (!flowClassNames.includes(given.flowClassName)) throw new Error(`8 flows: only ${flowClassNames.join()}`);

  // 9. It is started.
  const start = { params: { path: alice }, body: { clientRequestId: 'r1', flowClassName: given.flowClassName, requestBody: { otherMember: given.members[1] } as unknown as Record<string, never> } };
  const started = expectStatus('9 start', 202, (await client.POST('/flow/{holdingidentityshorthash}', start)) as Answered<{ flowStatus: string; flowId?: string | null }>);
  said.push(`9 ${started.flowStatus}, flow id ${started.flowId ?? 'not yet'}`);

  // 10. Until it has ended.
  const flow = { params: { path: { ...alice, clientrequestid: 'r1' } } };
  const ended = await until('10 status', () => client.GET('/flow/{holdingidentityshorthash}/{clientrequestid}', flow), ({ flowStatus }) => flowStatus !== 'START_REQUESTED' && flowStatus !== 'RUNNING');
  said.push(`10 ${ended.flowStatus}: ${ended.flowResult}`);

  // 11. The same request id is refused.
  const again = await client.POST('/flow/{holdingidentityshorthash}', start);
  said.push(`11 ${again.response.status}`);
  return said;
};
