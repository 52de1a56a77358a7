/** What a member runs: a CPI of the network, made of a project or of a bundle, or one that somebody else has made. */
import { readFile } from 'node:fs/promises';
import type { Signer } from '../../packaging/build/containers.ts';
import { buildPackage, wrapCpb } from '../../packaging/build.ts';
import { manifestEntry, readManifest } from '../../packaging/manifest.ts';
import { readZip } from '../../packaging/zip.ts';
import { usageError } from '../arguments.ts';

export type Application =
  | { readonly type: 'project'; readonly folder: string }
  | { readonly type: 'cpb'; readonly file: string; readonly name: string | undefined; readonly version: string | undefined }
  | { readonly type: 'cpi'; readonly file: string }
  /** Made already. */
  | { readonly type: 'made'; readonly cpi: Uint8Array; readonly signerPem: string };

export type Cpi = { readonly cpi: Uint8Array; readonly name: string; readonly version: string; /** Of whoever signed it here. */ readonly signerPem: string | undefined };

const readBytes = async (path: string): Promise<Uint8Array> => {
  try {
    return new Uint8Array(await readFile(path));
  } catch (cause) {
    throw usageError(`${path} cannot be read: ${cause instanceof Error ? cause.message : String(cause)}`);
  }
};

const named = (cpi: Uint8Array, from: string, signerPem: string | undefined): Cpi => {
  const zip = readZip(cpi);
  const read = zip.type === 'invalid' ? zip : readManifest(zip.entries.get(manifestEntry) ?? new Uint8Array(), 'cpi');
  if (read.type === 'invalid') throw usageError(`${from} is no CPI: ${read.reason}`);
  return { cpi, name: read.manifest.name, version: read.manifest.version, signerPem };
};

/** The CPI of an application for the network of this policy. */
export const makeCpi = async (application: Application, groupPolicy: string, signerOf: () => Promise<Signer>): Promise<Cpi> => {
  switch (application.type) {
    case 'cpi':
      return named(await readBytes(application.file), application.file, undefined);
    case 'made':
      return named(application.cpi, 'the package', application.signerPem);
    case 'cpb': {
      const { file, name, version } = application;
      const [cpb, signer] = await Promise.all([readBytes(file), signerOf()]);
      const { cpi } = await wrapCpb({ cpb, groupPolicy, signer, ...(name === undefined ? {} : { name }), ...(version === undefined ? {} : { version }) });
      return named(cpi, file, signer.certificateChainPem);
    }
    case 'project': {
      const signer = await signerOf();
      const { cpi } = await buildPackage({ project: application.folder, groupPolicy, signer });
      if (cpi === undefined) throw new Error('the package builder made no CPI although it was given a group policy');
      return named(cpi, application.folder, signer.certificateChainPem);
    }
  }
};
