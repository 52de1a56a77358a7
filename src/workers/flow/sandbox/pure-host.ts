/** What flow code may have computed for it at once: the same in every replay, so no operation and no journal. */
import { fromBase64url, toHex } from '../../../cipher/bytes.ts';
import { digestBy, digestNames, type DigestName } from '../../../cipher/digest.ts';
import { schemeOf, specsOf } from '../../../cipher/signature.ts';

/** Called by flow code, whose types are not checked where it runs. */
const isDigestName = (name: string): name is DigestName => (digestNames as readonly string[]).includes(name);

/** Throws a literal refusal for an algorithm that it does not know: the SDK makes a FlowPlatformError of it. */
export const digest = (algorithm: string, data: string): string => {
  if (!isDigestName(algorithm)) {
    // oxlint-disable-next-line no-throw-literal -- see above
    throw { code: 'OPERATION_INVALID', message: `no digest is called ${String(algorithm).slice(0, 50)}; there are ${digestNames.join(', ')}` };
  }
  return toHex(digestBy(algorithm, fromBase64url(data))).toUpperCase();
};

export const specsOfKey = (publicKey: string): readonly string[] => {
  try {
    const scheme = schemeOf(fromBase64url(publicKey));
    return scheme === undefined ? [] : [...specsOf(scheme)];
  } catch {
    // Not base64url, so no key.
    return [];
  }
};
