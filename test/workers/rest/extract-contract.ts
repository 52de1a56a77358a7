/**
 * Takes the facts (methods, paths, parameters, shapes) out of Corda's OpenAPI contract:
 *
 *     node test/workers/rest/extract-contract.ts <corda-rest-v5_2.json> > test/workers/rest/contract.json
 */
import { readFileSync } from 'node:fs';

const [file] = process.argv.slice(2);
if (file === undefined) throw new Error('name the contract file');
// The contract is an OpenAPI document.
const { paths, components } = JSON.parse(readFileSync(file, 'utf8')) as { paths: unknown; components: { schemas: unknown } };
console.log(JSON.stringify({ paths, schemas: components.schemas }, null, 1));
