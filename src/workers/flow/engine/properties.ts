/** Context properties of the platform (Corda 5 sets the same), and those that a responder inherits. */
import type { CpiMetadata } from '../../../messages/db-to-all.cpi.ts';
import type { VirtualNode } from '../../../messages/db-to-all.virtual-node.ts';
import { platformVersion, softwareVersion } from '../../../messages/grammar/platform.ts';
import type { Properties } from '../sandbox/sandbox.ts';

/** Of the code units of a CPI, so many are named: the properties ride in each session's first message. */
const cpksNamedMax = 20;

/** Made once for a virtual node as it stands in the view, and its CPI. */
const made = new WeakMap<VirtualNode, { readonly cpi: CpiMetadata; readonly properties: Properties }>();

/** What every flow of this virtual node begins with: one frozen object for all of them, by which the sandbox knows that they have the same. */
export const platformProperties = (node: VirtualNode, cpi: CpiMetadata): Properties => {
  const known = made.get(node);
  if (known?.cpi === cpi) return known.properties;
  const properties = Object.freeze(propertiesOf(node, cpi));
  made.set(node, { cpi, properties });
  return properties;
};

const propertiesOf = ({ cpkHashes, cpiFullChecksum }: VirtualNode, { id }: CpiMetadata): Properties => ({
  'corda.account': 'account-zero',
  'corda.cpiName': id.name,
  'corda.cpiVersion': id.version,
  'corda.cpiSignerSummaryHash': id.signerSummaryHash,
  'corda.cpiFileChecksum': cpiFullChecksum,
  ...Object.fromEntries(cpkHashes.slice(0, cpksNamedMax).map((hash, i) => [`corda.cpkFileChecksum.${i}`, hash])),
  'corda.initialPlatformVersion': platformVersion,
  'corda.initialSoftwareVersion': softwareVersion,
});

/** Corda: a platform property of the initiator is renamed at the responder, so that neither is taken for the other. */
export const inherited = (context: Properties): Properties =>
  Object.fromEntries(
    Object.entries(context).map(([name, value]) => {
      const isForeign = name.startsWith('corda.') && !name.startsWith('corda.initiator.');
      return [isForeign ? `corda.initiator.${name.slice('corda.'.length)}` : name, value] as const;
    }),
  );
