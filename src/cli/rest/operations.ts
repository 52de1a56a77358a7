/** The commands that the OpenAPI document makes: an operation, its name on the command line, and what it takes there. */
import { createOpenApi, routes } from '../../workers/rest/worker.ts';
import { commandNameOf, type CommandName } from './names.ts';

/** The parts of an OpenAPI schema that the command line goes by. */
export type Shape = {
  readonly $ref?: string;
  readonly type?: string;
  readonly format?: string;
  readonly enum?: readonly string[];
  readonly items?: Shape;
  readonly properties?: Readonly<Record<string, Shape>>;
  readonly required?: readonly string[];
  readonly additionalProperties?: Shape;
};

export type OptionPlace = 'query' | 'json' | 'form';

export type Option = {
  /** As it is typed, without the dashes. */
  readonly flag: string;
  /** As the operation calls it. */
  readonly name: string;
  readonly place: OptionPlace;
  readonly shape: Shape;
  readonly required: boolean;
};

export type Operation = CommandName & {
  /** `<METHOD> <path>`: what the client calls it. */
  readonly name: string;
  readonly summary: string;
  /** Parameters of the path, in order: given without a flag. */
  readonly positionals: readonly string[];
  readonly options: readonly Option[];
  /** Whether `--body` may give the whole JSON body. */
  readonly takesJson: boolean;
  /** Answers a stream of events. */
  readonly streams: boolean;
  /** Answers a file. */
  readonly givesFile: boolean;
};

type ParameterDocument = { readonly name: string; readonly in: 'path' | 'query'; readonly required: boolean; readonly schema: Shape };
type Content = Readonly<Record<string, { readonly schema: Shape }>>;
type OperationDocument = {
  readonly summary: string;
  readonly parameters: readonly ParameterDocument[];
  readonly requestBody?: { readonly content: Content };
  readonly responses: Readonly<Record<string, { readonly content?: Content }>>;
};

/** Flags that every command has: an operation's own of the same name is typed with `set-` before it. */
export const commonFlags: ReadonlySet<string> = new Set(['json', 'help', 'context', 'url', 'user', 'password', 'token', 'state', 'wait', 'timeout', 'body', 'out']);

/** `clientRequestId` is typed `--client-request-id`. */
const flagOf = (name: string): string => {
  const flag = name.replace(/([a-z0-9])([A-Z])/g, '$1-$2').toLowerCase();
  return commonFlags.has(flag) ? `set-${flag}` : flag;
};

const optionsOf = (place: 'json' | 'form', shape: Shape): Option[] =>
  Object.entries(shape.properties ?? {}).map(([name, property]) => ({ flag: flagOf(name), name, place, shape: property, required: shape.required?.includes(name) ?? place === 'form' }));

/** How long a flow is waited for is said by `--wait`. */
const isTyped = ({ name, in: place }: ParameterDocument): boolean => place === 'query' && name !== 'wait';

export const readOperations = (): readonly Operation[] => {
  // The document is our own.
  const { paths, components } = createOpenApi(routes) as unknown as { paths: Record<string, Record<string, OperationDocument>>; components: { schemas: Record<string, Shape> } };
  const resolve = (shape: Shape): Shape => (shape.$ref === undefined ? shape : resolve(components.schemas[shape.$ref.slice(shape.$ref.lastIndexOf('/') + 1)]!));
  const operationOf = (name: string, { summary, parameters, requestBody, responses }: OperationDocument): Operation => {
    const json = requestBody?.content['application/json']?.schema;
    const form = requestBody?.content['multipart/form-data']?.schema;
    return {
      ...commandNameOf(name),
      name,
      summary,
      positionals: parameters.filter((one) => one.in === 'path').map((one) => one.name),
      options: [
        ...parameters.filter(isTyped).map((one) => ({ flag: flagOf(one.name), name: one.name, place: 'query' as const, shape: one.schema, required: one.required })),
        ...(json === undefined ? [] : optionsOf('json', resolve(json))),
        ...(form === undefined ? [] : optionsOf('form', form)),
      ].map((option) => ({ ...option, shape: resolve(option.shape) })),
      takesJson: json !== undefined,
      streams: responses['200']?.content?.['text/event-stream'] !== undefined,
      givesFile: responses['200']?.content?.['application/octet-stream'] !== undefined,
    };
  };
  return Object.entries(paths).flatMap(([path, methods]) => Object.entries(methods).map(([method, document]) => operationOf(`${method.toUpperCase()} ${path}`, document)));
};
