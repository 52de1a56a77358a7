/** Who may sign code: a chain whose leaf may sign code, and that the certificates trusted as code signers vouch for. A signer is revoked by removing it from these. */
import { checkChain as check, extendedKeyUsages, keyUsageNames, nameOf, readTrusted as readAll, type Certificate, type ChainCheck } from '../cipher/certificates.ts';
import { packageLimits } from './config.ts';
import { invalid, type Invalid } from './invalid.ts';

export { readCertificate, subjectOf, type Certificate, type ChainCheck } from '../cipher/certificates.ts';

const codeSigning = '1.3.6.1.5.5.7.3.3';

const fault = (reason: string): Invalid => invalid('PACKAGE_CERTIFICATE_INVALID', reason);

/** Every certificate of these PEM texts. One that cannot be read trusts nobody, so it is left out. */
export const readTrusted = (texts: readonly string[]): Certificate[] => readAll(texts.slice(0, packageLimits.trustedSignersMax));

const checkLeaf = (leaf: Certificate): Invalid | undefined => {
  if (keyUsageNames(leaf, 'digitalSignature') === false) return fault(`the certificate ${nameOf(leaf)} may not sign data (key usage)`);
  if (extendedKeyUsages(leaf)?.includes(codeSigning) === false) return fault(`the certificate ${nameOf(leaf)} may not sign code (extended key usage)`);
  return undefined;
};

/** Leaf first. `undefined` when the chain is good. */
export const checkChain = async (chain: ChainCheck): Promise<Invalid | undefined> => {
  const [leaf] = chain.chain;
  const leafFault = leaf === undefined ? undefined : checkLeaf(leaf);
  if (leafFault !== undefined) return leafFault;
  const verdict = await check(chain);
  switch (verdict.type) {
    case 'good':
      return undefined;
    case 'invalid':
      return fault(verdict.reason);
    case 'untrusted':
      return invalid('PACKAGE_SIGNER_UNTRUSTED', `no trusted code signer vouches for ${nameOf(verdict.leaf)}; import its certificate (or its CA's) with PUT /certificate/cluster/code-signer`);
  }
};
