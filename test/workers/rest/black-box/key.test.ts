import { createPublicKey } from 'node:crypto';
import { beforeAll, expect } from 'vitest';
import { covers, useCluster } from './cluster.ts';

const cluster = useCluster();
const tenant = 'A11CE0000001';
const schemes = ['CORDA.RSA', 'CORDA.ECDSA.SECP256K1', 'CORDA.ECDSA.SECP256R1', 'CORDA.EDDSA.ED25519', 'CORDA.X25519'];
beforeAll(async () => {
  for (const category of ['LEDGER', 'PRE_AUTH']) await cluster().call('POST', `/hsm/soft/${tenant}/${category}`);
});

const pathOf = (alias: string, category: string, scheme: string): string => `/key/${tenant}/alias/${alias}/category/${category}/scheme/${scheme}`;

covers(cluster, ['POST /key/{tenantid}/alias/{alias}/category/{hsmcategory}/scheme/{scheme}', 'GET /key/{tenantid}', 'GET /key/{tenantid}/{keyid}'], 'happy', 'a key of every scheme is made, listed and shown in PEM', async ({ call }) => {
  const ids: string[] = [];
  for (const scheme of schemes) ids.push((await call('POST', pathOf(`made-${scheme}`, 'PRE_AUTH', scheme))).json.id);
  const list = async (query: string): Promise<string[]> => Object.keys((await call('GET', `/key/${tenant}?${query}`)).json);
  const { json } = await call('GET', `/key/${tenant}?category=PRE_AUTH`);
  const masterKeyAlias = (await call('GET', `/hsm/${tenant}/PRE_AUTH`)).json.masterKeyAlias;
  for (const [i, scheme] of schemes.entries()) {
    const id = ids[i]!;
    expect(json[id]).toEqual({ alias: `made-${scheme}`, created: expect.any(String), hsmCategory: 'PRE_AUTH', keyId: id, masterKeyAlias, scheme });
    const pem = (await call('GET', `/key/${tenant}/${id.toLowerCase()}`)).json;
    expect(createPublicKey(pem).type).toBe('public');
    expect(await list(`schemecodename=${scheme}`)).toEqual([id]);
  }
  expect((await list(`masterkeyalias=${masterKeyAlias}&category=PRE_AUTH`)).toSorted()).toEqual(ids.toSorted());
  expect(await list('masterkeyalias=another')).toEqual([]);
  // In the order of creation, a page at a time, and backwards. (Numbers as names come first in an object: none of these is one.)
  const named = async (query: string): Promise<string[]> => Object.values((await call('GET', `/key/${tenant}?category=PRE_AUTH&${query}`)).json as Record<string, { alias: string }>).map(({ alias }) => alias);
  expect((await named('orderby=ALIAS')).toSorted()).toEqual(schemes.map((scheme) => `made-${scheme}`).toSorted());
  const [second] = await named('orderby=TIMESTAMP&skip=1&take=1');
  expect([second, await named('orderby=TIMESTAMP_DESC&skip=3&take=1')]).toEqual([`made-${schemes[1]}`, [second]]);
  const createdAt = json[ids[2]!].created as string;
  expect(await list(`createdafter=${createdAt}&createdbefore=${createdAt}&alias=made-${schemes[2]}`)).toEqual([ids[2]]);
  expect((await list(`id=${ids[0]}&id=${ids[1]}`)).toSorted()).toEqual([ids[0]!, ids[1]!].toSorted());
});

covers(cluster, 'POST /key/{tenantid}/alias/{alias}/category/{hsmcategory}/scheme/{scheme}', 'refused', 'aliases that are taken, schemes that there are not, categories without an HSM', async ({ call }) => {
  const post = (alias: string, category: string, scheme: string) => call('POST', pathOf(alias, category, scheme));
  expect((await post('one', 'LEDGER', 'CORDA.ECDSA.SECP256R1')).status).toBe(200);
  expect((await post('one', 'LEDGER', 'CORDA.ECDSA.SECP256R1')).status).toBe(409);
  expect((await post('one', 'LEDGER', 'CORDA.RSA')).status).toBe(409);
  expect((await post('two', 'TLS', 'CORDA.RSA')).status).toBe(400);
  expect((await post('two', 'NONSENSE', 'CORDA.RSA')).status).toBe(404);
  expect((await post('a%2Fb', 'LEDGER', 'CORDA.RSA')).status).toBe(400);
  for (const scheme of ['CORDA.SM2', 'CORDA.GOST3410.GOST3411', 'CORDA.SPHINCS-256', 'COMPOSITE', 'CORDA.NONSENSE']) {
    const { status, json } = await post('two', 'LEDGER', scheme);
    expect([status, json.details]).toEqual([400, expect.objectContaining({ code: 'REST_KEY_SCHEME_UNSUPPORTED', supported: schemes.join(', '), reason: expect.any(String) })]);
  }
});

covers(cluster, ['GET /key/{tenantid}', 'GET /key/{tenantid}/{keyid}'], 'refused', 'what cannot be looked for', async ({ call }) => {
  for (const query of ['take=-1', 'take=801', 'skip=x', 'orderby=COLOUR', 'category=x', 'schemecodename=x', 'createdafter=yesterday', 'id=zz']) expect((await call('GET', `/key/${tenant}?${query}`)).status).toBe(400);
  expect((await call('GET', '/key/everybody')).status).toBe(400);
  expect((await call('GET', `/key/${tenant}/000000000000`)).status).toBe(404);
  expect((await call('GET', `/key/${tenant}/short`)).status).toBe(400);
});

covers(cluster, 'GET /key/{tenantid}/schemes/{hsmcategory}', 'happy', 'tells of which schemes keys can be made', async ({ call }) => {
  expect((await call('GET', `/key/${tenant}/schemes/LEDGER`)).json).toEqual(schemes);
});

covers(cluster, 'GET /key/{tenantid}/schemes/{hsmcategory}', 'refused', 'a category that there is not', async ({ call }) => {
  expect((await call('GET', `/key/${tenant}/schemes/NONSENSE`)).status).toBe(404);
});
