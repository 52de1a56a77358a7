/** What a list shows of each thing, where all of its fields would be too wide to read; `--json` shows everything. */

/** The heading of a column, and the way to its value. */
export type Columns = Readonly<Record<string, readonly string[]>>;

const registration: Columns = { id: ['registrationId'], status: ['registrationStatus'], serial: ['serial'], sent: ['registrationSent'], updated: ['registrationUpdated'], reason: ['reason'] };

const columns: Readonly<Record<string, Columns>> = {
  'GET /virtualnode': {
    'short hash': ['holdingIdentity', 'shortHash'],
    name: ['holdingIdentity', 'x500Name'],
    cpi: ['cpiIdentifier', 'cpiName'],
    version: ['cpiIdentifier', 'cpiVersion'],
    starts: ['flowStartOperationalStatus'],
    flows: ['flowOperationalStatus'],
    links: ['flowP2pOperationalStatus'],
    vault: ['vaultDbOperationalStatus'],
    'under way': ['operationInProgress'],
  },
  'GET /cpi': { checksum: ['cpiFileChecksum'], name: ['id', 'cpiName'], version: ['id', 'cpiVersion'], signer: ['id', 'signerSummaryHash'], uploaded: ['timestamp'] },
  'GET /members/{holdingidentityshorthash}': {
    name: ['memberContext', 'corda.name'],
    status: ['mgmContext', 'corda.status'],
    serial: ['mgmContext', 'corda.serial'],
    endpoint: ['memberContext', 'corda.endpoints.0.connectionURL'],
    role: ['memberContext', 'corda.roles.0'],
    notary: ['memberContext', 'corda.notary.service.name'],
  },
  'GET /membership/{holdingidentityshorthash}': registration,
  'GET /mgm/{holdingidentityshorthash}/registrations': registration,
  'GET /user': { login: ['loginName'], name: ['fullName'], enabled: ['enabled'], 'password expires': ['passwordExpiry'], id: ['id'] },
  'GET /role': { id: ['id'], name: ['roleName'], group: ['groupVisibility'], version: ['version'] },
  'GET /permission': { id: ['id'], type: ['permissionType'], pattern: ['permissionString'], 'virtual node': ['virtualNode'], group: ['groupVisibility'] },
};

export const columnsOf = (operation: string): Columns | undefined => columns[operation];

/** For the test that the table names only what there is. */
export const tabledOperations: readonly string[] = Object.keys(columns);

export const pick = (value: unknown, columnsShown: Columns): Record<string, unknown> =>
  Object.fromEntries(
    Object.entries(columnsShown).map(([heading, way]) => [
      heading,
      // An object's own fields, whatever they are.
      way.reduce<unknown>((found, name) => (typeof found === 'object' && found !== null ? (found as Record<string, unknown>)[name] : undefined), value),
    ]),
  );
