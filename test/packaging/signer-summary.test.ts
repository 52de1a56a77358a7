import { expect, test } from 'vitest';
import { signerSummaryHashOf, summaryNameOf, type NameAttribute } from '../../src/packaging/signer-summary.ts';

/** In encoded order, which is the reverse of how RFC 4514 writes a name. */
const nameOf = (...attributes: [string, string][]): NameAttribute[] => attributes.map(([type, value]) => ({ type, value })).reverse();

/** Made with Java 17's X500Principal and LdapName in the way that Corda 5.2 makes them. */
const vectors: { subject: NameAttribute[]; name: string; hash: string }[] = [
  {
    subject: nameOf(['CN', 'Alice'], ['OU', 'R3'], ['O', 'Corda'], ['L', 'Dublin'], ['C', 'IE']),
    name: 'C=IE,L=Dublin,O=Corda,OU=R3,CN=Alice',
    hash: 'SHA-256:33EBB9EA7FE1F18E37A9FFB4D79D45772D7625E5B7DEFC730BA1B4FD1E20BC9B',
  },
  {
    subject: nameOf(['C', 'GB'], ['L', 'London'], ['O', 'Acme, Inc #1; a+b=c <x>'], ['OU', 'spaced'], ['CN', 'Zoë "q" \\ z'], ['ST', 'S'], ['UID', 'x']),
    name: 'C=GB,ST=S,L=London,O=Acme\\, Inc \\#1\\; a\\+b\\=c \\<x\\>,OU=spaced,CN=Zoë \\"q\\" \\\\ z',
    hash: 'SHA-256:739A49CA67A9B50D1AF89DAC7CE109CBFAEF50C3533EE24EE4CA175F72F565BA',
  },
  {
    subject: nameOf(['OU', 'first'], ['OU', 'second'], ['O', 'Acme'], ['DC', 'com'], ['C', 'GB'], ['CN', 'x']),
    name: 'C=GB,O=Acme,OU=first,OU=second,CN=x',
    hash: 'SHA-256:13454B5DE57608D39FE953F1246DB42698D70559080511D3D68EABADD293F30E',
  },
  {
    subject: nameOf(['CN', ' lead trail '], ['O', '#a'], ['L', 'b'], ['C', 'GB']),
    name: 'C=GB,L=b,O=\\#a,CN=\\ lead trail\\ ',
    hash: 'SHA-256:565688A06E420A67FBA2F7C6D86ED7151C286437150142DC18737C25855DF6F3',
  },
  {
    subject: nameOf(['CN', '   '], ['O', 'x'], ['C', 'GB']),
    name: 'C=GB,O=x,CN=\\ \\ \\ ',
    hash: 'SHA-256:D63A4DF0321BC07DDAC98F5008869DCDE724E4F5EDBEF92D2385CECE53558FE7',
  },
];

test.each(vectors)("the signer summary hash of $name is Corda's", ({ subject, name, hash }) => {
  expect(summaryNameOf(subject)).toBe(name);
  expect(signerSummaryHashOf([subject])).toBe(hash);
});

test('the order of several signers does not matter, who they are does', () => {
  const [one, other] = [vectors[0]!.subject, vectors[1]!.subject];
  expect(signerSummaryHashOf([one, other])).toBe(signerSummaryHashOf([other, one]));
  expect(signerSummaryHashOf([one, other])).not.toBe(signerSummaryHashOf([one]));
});
