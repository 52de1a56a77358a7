/** What an operation is called on the command line: `<noun> <verb>`, by a rule, or by this table where the rule's word would be poor. */

export type CommandName = { readonly noun: string; readonly verb: string };

const named: Readonly<Record<string, string>> = {
  'POST /hello': 'hello greet',
  'POST /flow/{holdingidentityshorthash}': 'flow start',
  'GET /flow/{holdingidentityshorthash}': 'flow list',
  'GET /flow/{holdingidentityshorthash}/{clientrequestid}': 'flow status',
  'GET /flow/{holdingidentityshorthash}/{clientrequestid}/events': 'flow follow',
  'GET /flowclass/{holdingidentityshorthash}': 'flowclass list',
  'POST /cpi': 'cpi upload',
  'POST /maintenance/virtualnode/forcecpiupload': 'cpi force-upload',
  'POST /maintenance/virtualnode/{virtualnodeshortid}/vault-schema/force-resync': 'virtualnode resync-vault',
  'PUT /certificate/cluster/{usage}': 'certificate import',
  'GET /certificate/cluster/{usage}': 'certificate list',
  'GET /certificate/cluster/{usage}/{alias}': 'certificate get',
  'PUT /certificate/vnode/{holdingidentityid}/{usage}': 'certificate import-vnode',
  'GET /certificate/vnode/{holdingidentityid}/{usage}': 'certificate list-vnode',
  'GET /certificate/vnode/{holdingidentityid}/{usage}/{alias}': 'certificate get-vnode',
  'POST /certificate/{tenantid}/{keyid}': 'certificate request',
  'PUT /config': 'config set',
  'POST /hsm/soft/{tenantid}/{category}': 'hsm assign',
  'POST /key/{tenantid}/alias/{alias}/category/{hsmcategory}/scheme/{scheme}': 'key generate',
  'GET /key/{tenantid}': 'key list',
  'GET /members/{holdingidentityshorthash}': 'members list',
  'POST /membership/{holdingidentityshorthash}': 'membership register',
  'GET /membership/{holdingidentityshorthash}': 'membership list',
  'POST /mgm/{holdingidentityshorthash}/approval/rules': 'mgm add-approval-rule',
  'DELETE /mgm/{holdingidentityshorthash}/approval/rules/{ruleid}': 'mgm delete-approval-rule',
  'GET /mgm/{holdingidentityshorthash}/approval/rules/preauth': 'mgm preauth-rules',
  'POST /mgm/{holdingidentityshorthash}/approval/rules/preauth': 'mgm add-preauth-rule',
  'DELETE /mgm/{holdingidentityshorthash}/approval/rules/preauth/{ruleid}': 'mgm delete-preauth-rule',
  'POST /mgm/{holdingidentityshorthash}/group-parameters': 'mgm set-group-parameters',
  'GET /mgm/{holdingidentityshorthash}/mutual-tls/allowed-client-certificate-subjects': 'mgm allowed-subjects',
  'PUT /mgm/{holdingidentityshorthash}/mutual-tls/allowed-client-certificate-subjects/{subject}': 'mgm allow-subject',
  'DELETE /mgm/{holdingidentityshorthash}/mutual-tls/allowed-client-certificate-subjects/{subject}': 'mgm disallow-subject',
  'GET /mgm/{holdingidentityshorthash}/preauthtoken': 'mgm preauth-tokens',
  'POST /mgm/{holdingidentityshorthash}/preauthtoken': 'mgm create-preauth-token',
  'PUT /mgm/{holdingidentityshorthash}/preauthtoken/revoke/{preauthtokenid}': 'mgm revoke-preauth-token',
  'PUT /network/setup/{holdingidentityshorthash}': 'network setup',
  'POST /permission/bulk': 'permission create-bulk',
  'PUT /role/{roleid}/permission/{permissionid}': 'role add-permission',
  'DELETE /role/{roleid}/permission/{permissionid}': 'role remove-permission',
  'GET /user/{loginname}/permissionsummary': 'user permissions',
  'POST /user/selfpassword': 'user set-own-password',
  'POST /user/otheruserpassword': 'user set-password',
  'PUT /user/{loginname}/role/{roleid}': 'user add-role',
  'DELETE /user/{loginname}/role/{roleid}': 'user remove-role',
  'GET /virtualnode/create/db/crypto': 'virtualnode crypto-sql',
  'GET /virtualnode/create/db/uniqueness': 'virtualnode uniqueness-sql',
  'GET /virtualnode/create/db/vault/{cpichecksum}': 'virtualnode vault-sql',
  'PUT /virtualnode/{virtualnodeshortid}/cpi/{targetcpifilechecksum}': 'virtualnode upgrade',
  'PUT /virtualnode/{virtualnodeshortid}/db': 'virtualnode set-connections',
  'GET /virtualnode/{virtualnodeshortid}/db/vault/{newcpichecksum}': 'virtualnode upgrade-sql',
  'GET /wrappingkey/rotation/{tenantid}': 'wrappingkey rotation',
  'POST /wrappingkey/rotation/{tenantid}': 'wrappingkey rotate',
};

const isParameter = (segment: string): boolean => segment.startsWith('{');

/** By the words of the path behind its resource; where there are none, by the method. */
const verbOf = (method: string, segments: readonly string[]): string => {
  const words = segments.filter((segment) => !isParameter(segment));
  if (words.at(-1) === 'getprotocolversion') return 'version';
  const phrase = words.join('-');
  const ofOne = isParameter(segments.at(-1) ?? '');
  switch (method) {
    case 'GET':
      return phrase !== '' ? phrase : ofOne ? 'get' : 'list';
    case 'POST':
      return phrase !== '' ? phrase : 'create';
    case 'PUT':
      return phrase !== '' ? `set-${phrase}` : 'update';
    default:
      return phrase !== '' ? `delete-${phrase}` : 'delete';
  }
};

/** @param operation `<METHOD> <path>`, as the contract writes it. */
export const commandNameOf = (operation: string): CommandName => {
  const [method = '', path = ''] = operation.split(' ');
  const [noun = '', ...rest] = path.slice(1).split('/');
  const [givenNoun, givenVerb] = named[operation]?.split(' ') ?? [];
  return { noun: givenNoun ?? noun, verb: givenVerb ?? verbOf(method, rest) };
};

/** For the test that the table names only what there is. */
export const namedOperations: readonly string[] = Object.keys(named);
