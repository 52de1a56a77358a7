/** New code for running clusters: build, upload in place of the old (Corda's force upload), and the virtual nodes run it. */
import { openSigningKey } from '../packaging/build-signing-key.ts';
import { buildPackage, type BuiltPackage } from '../packaging/build.ts';
import { sha256 } from '@noble/hashes/sha2.js';
import { toHex } from '../cipher/bytes.ts';
import { trustSigner, type MemberPlan } from './network.ts';
import { RestError } from '../rest-client/rest-client.ts';
import { untilCpiVerified } from '../rest-client/waits.ts';

export type Update =
  | { readonly type: 'unchanged' }
  | { readonly type: 'updated'; readonly built: BuiltPackage; readonly buildMs: number; readonly uploadMs: number };

export type LiveCodeOptions = {
  readonly project: string;
  /** Of the network that the clusters stand in. */
  readonly groupPolicy: string;
  readonly signingKey: string;
  readonly members: readonly MemberPlan[];
};

export type LiveCode = {
  /** Throws PackageBuildError where the code does not build: then nothing was changed. */
  update(): Promise<Update>;
};

/** What the cluster says of a CPI that has nothing to take the place of. */
const isNothingToReplace = (error: unknown): boolean => error instanceof RestError && error.message.includes('to replace');

const replaceCpi = async ({ client }: MemberPlan, cpi: Uint8Array): Promise<void> => {
  // A copy, because a Blob part must stand on a plain ArrayBuffer.
  const { id } = await client.call('POST /maintenance/virtualnode/forcecpiupload', { form: { upload: new Blob([new Uint8Array(cpi)]) } });
  await untilCpiVerified(client, id);
  // The list is read behind everything published so far, in the view that flows are started from.
  await client.call('GET /virtualnode');
};

export const createLiveCode = async ({ project, groupPolicy, signingKey, members }: LiveCodeOptions): Promise<LiveCode> => {
  const signer = await openSigningKey(signingKey);
  await Promise.all(members.map(({ client }) => trustSigner(client, signer.certificateChainPem)));
  let last: string | undefined;
  return {
    update: async () => {
      const begun = performance.now();
      const built = await buildPackage({ project, groupPolicy, signer });
      const hash = toHex(sha256(built.cpk));
      if (hash === last) return { type: 'unchanged' };
      const ready = performance.now();
      try {
        await Promise.all(members.map((member) => replaceCpi(member, built.cpi!)));
      } catch (error) {
        if (!isNothingToReplace(error)) throw error;
        const { name, version } = built;
        throw new Error(`the clusters run no ${name} ${version}: its name or version was changed. Change it back, or begin a new network with --reset`, { cause: error });
      }
      last = hash;
      return { type: 'updated', built, buildMs: ready - begun, uploadMs: performance.now() - ready };
    },
  };
};
