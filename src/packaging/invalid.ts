/** Why a package is refused: a stable code for programs, a reason for people. */
export type InvalidCode =
  /** Over a bound of config.ts. */
  | 'PACKAGE_TOO_LARGE'
  /** Not a zip file, or cut short. */
  | 'PACKAGE_NOT_ZIP'
  /** An entry that is compressed, badly named or listed twice. */
  | 'PACKAGE_ENTRY_REFUSED'
  /** A zip that says the same in another way than the format's one way: hidden bytes, other order, times, attributes. */
  | 'PACKAGE_NOT_CANONICAL'
  | 'PACKAGE_MANIFEST_INVALID'
  /** The manifest and the entries do not list the same files, or not with the same content. */
  | 'PACKAGE_CONTENT_MISMATCH'
  /** No signature, or one that does not fit the manifest and the key. */
  | 'PACKAGE_SIGNATURE_INVALID'
  /** A certificate that is malformed, out of its dates, or not allowed to do what it does in the chain. */
  | 'PACKAGE_CERTIFICATE_INVALID'
  /** The chain leads to no certificate that the cluster trusts for code. */
  | 'PACKAGE_SIGNER_UNTRUSTED'
  | 'PACKAGE_GROUP_POLICY_INVALID'
  /** The schema of a code unit is none, or makes something that an application may not. */
  | 'PACKAGE_SCHEMA_INVALID'
  /** The packages inside do not go together: two of one name, flows of one name, two answers to one protocol. */
  | 'PACKAGE_CONFLICT'
  /** Something no check foresaw; the reason says where. */
  | 'PACKAGE_UNREADABLE';

export type Invalid = { readonly type: 'invalid'; readonly code: InvalidCode; readonly reason: string };

export const invalid = (code: InvalidCode, reason: string): Invalid => ({ type: 'invalid', code, reason });
