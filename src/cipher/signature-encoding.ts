/** ECDSA signatures: DER (RFC 3279 section 2.2.3) on our wires, as Java writes them; r ‖ s (IEEE P1363) in WebCrypto. */
import { concat, type Bytes } from './bytes.ts';
import { derOf, derUnsigned, expectTag, readElements, readOne, tags, unsignedOf } from './der.ts';

/** Bytes of r and of s for a 256-bit curve. */
const scalarLength = 32;
export const p1363Length = 2 * scalarLength;

export const derOfP1363 = (signature: Uint8Array): Bytes =>
  derOf(tags.sequence, derUnsigned(signature.subarray(0, scalarLength)), derUnsigned(signature.subarray(scalarLength)));

const leftPadded = (digits: Uint8Array): Uint8Array => concat(new Uint8Array(scalarLength - digits.length), digits);

/** `undefined` where the text is not strict DER of two positive numbers of at most 32 bytes. */
export const p1363OfDer = (signature: Uint8Array): Bytes | undefined => {
  try {
    const [r, s, ...more] = readElements(readOne(signature, tags.sequence));
    const scalars = [r, s].map((element) => unsignedOf(expectTag(element, tags.integer)));
    if (more.length > 0 || scalars.some((digits) => digits.length > scalarLength)) return undefined;
    return concat(...scalars.map(leftPadded));
  } catch {
    return undefined;
  }
};
