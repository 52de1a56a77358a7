/**
 * Corda's signer summary hash: who signed a package, by name and not by key, so that a certificate can be renewed.
 *
 * Each signer's subject is reduced to CN, OU, O, L, ST and C and written as an LDAP string (RFC 4514) in Corda's order, which
 * Java's LdapName prints from the right: `C=GB,L=London,O=Acme,CN=Signer`. Its SHA-256 is written `SHA-256:<HEX>`; the summary is
 * the SHA-256 of those texts, sorted and joined.
 */
import { sha256 } from '../cipher/digest.ts';
import { toHex, utf8 } from '../cipher/bytes.ts';

/** One attribute of a subject, in the order of its encoding. */
export type NameAttribute = { readonly type: string; readonly value: string };

const attributes = ['CN', 'OU', 'O', 'L', 'ST', 'C'];

/** Java's javax.naming.ldap.Rdn.escapeValue. */
const escapeValue = (value: string): string => {
  const escaped = value.replace(/[,=+<>#;"\\]/g, '\\$&');
  const leading = /^ */.exec(escaped)![0].length;
  const trailing = leading === escaped.length ? 0 : / *$/.exec(escaped)![0].length;
  return `${'\\ '.repeat(leading)}${escaped.slice(leading, escaped.length - trailing)}${'\\ '.repeat(trailing)}`;
};

/** The reduced subject as Corda hashes it. */
export const summaryNameOf = (subject: readonly NameAttribute[]): string =>
  subject
    .filter(({ type }) => attributes.includes(type))
    .sort((one, other) => attributes.indexOf(one.type) - attributes.indexOf(other.type))
    .reverse()
    .map(({ type, value }) => `${type}=${escapeValue(value)}`)
    .join(',');

const hashText = (text: string): string => `SHA-256:${toHex(sha256(utf8(text))).toUpperCase()}`;

export const signerSummaryHashOf = (subjects: readonly (readonly NameAttribute[])[]): string =>
  hashText(
    subjects
      .map((subject) => hashText(summaryNameOf(subject)))
      .sort()
      .join(''),
  );
