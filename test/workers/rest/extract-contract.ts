/**
 * Takes the facts of the operations that rest serves (methods, paths, parameters, shapes) out of Corda's OpenAPI contract:
 *
 *     node test/workers/rest/extract-contract.ts <corda-rest-v5_2.json> > test/workers/rest/contract.json
 */
import { readFileSync } from 'node:fs';

/** What is served so far, by the contract's paths. Operations are added here when they are added to the API. */
const served: Readonly<Record<string, readonly string[]>> = {
  '/hello': ['post'],
  '/certificate/cluster/{usage}': ['get', 'put'],
  '/certificate/cluster/{usage}/{alias}': ['get'],
  '/cpi': ['get', 'post'],
  '/cpi/status/{id}': ['get'],
  '/maintenance/virtualnode/forcecpiupload': ['post'],
  '/virtualnode': ['get', 'post'],
  '/virtualnode/status/{requestid}': ['get'],
  '/virtualnode/{holdingidentityshorthash}': ['get'],
  '/membership/{holdingidentityshorthash}': ['get', 'post'],
  '/membership/{holdingidentityshorthash}/{registrationrequestid}': ['get'],
  '/members/{holdingidentityshorthash}': ['get'],
  '/members/{holdingidentityshorthash}/group-parameters': ['get'],
  '/flowclass/{holdingidentityshorthash}': ['get'],
  '/flow/{holdingidentityshorthash}': ['get', 'post'],
  '/flow/{holdingidentityshorthash}/{clientrequestid}': ['get'],
  '/flow/{holdingidentityshorthash}/{clientrequestid}/result': ['get'],
  '/hsm/soft/{tenantid}/{category}': ['post'],
  '/key/{tenantid}': ['get'],
  '/key/{tenantid}/{keyid}': ['get'],
  '/key/{tenantid}/alias/{alias}/category/{hsmcategory}/scheme/{scheme}': ['post'],
  ...Object.fromEntries(
    ['hello', 'certificate', 'cpi', 'maintenance/virtualnode', 'virtualnode', 'membership', 'members', 'flowclass', 'flow', 'hsm', 'key'].map((resource) => [
      `/${resource}/getprotocolversion`,
      ['get'],
    ]),
  ),
};

type Contract = { paths: Record<string, Record<string, unknown>>; components: { schemas: Record<string, unknown> } };

const [file] = process.argv.slice(2);
if (file === undefined) throw new Error('name the contract file');
// The contract is an OpenAPI document.
const contract = JSON.parse(readFileSync(file, 'utf8')) as Contract;

const paths = Object.fromEntries(
  Object.entries(served).map(([path, methods]) => [path, Object.fromEntries(methods.map((method) => [method, contract.paths[path]![method]]))]),
);

/** The shapes that are reached, however deep. */
const reached = new Set<string>();
const visit = (value: unknown): void => {
  for (const [, name] of JSON.stringify(value).matchAll(/#\/components\/schemas\/(\w+)/g)) {
    if (name === undefined || reached.has(name)) continue;
    reached.add(name);
    visit(contract.components.schemas[name]);
  }
};
visit(paths);

const schemas = Object.fromEntries([...reached].sort().map((name) => [name, contract.components.schemas[name]]));
console.log(JSON.stringify({ paths, schemas }, null, 1));
