/**
 * Whether certificates of a chain were revoked: asked of the responder that a certificate names (OCSP, RFC 6960), or else looked up in
 * the list it names (CRL, RFC 5280 section 5). Checked here and not by the TLS library, so that it holds on every runtime; Deno, for
 * one, ignores lists that are given to its TLS server.
 *
 *     each certificate but the trusted root ──▶ OCSP ──no answer──▶ CRL ──no list──▶ not known
 *
 * Modes (Corda): `SOFT_FAIL` refuses what is revoked; `HARD_FAIL` also what is not known; `OFF` asks nobody. A certificate that
 * names neither responder nor list cannot be revoked, and is accepted in each.
 */
import 'reflect-metadata';
import * as x509 from '@peculiar/x509';
import { createBoundedCache } from '../bounded-cache.ts';
import { toHex } from '../bytes.ts';
import { listAnswer } from './list.ts';
import { responderAnswer } from './responder.ts';

export type RevocationMode = 'SOFT_FAIL' | 'HARD_FAIL' | 'OFF';

/** GET, or POST where there is a body. Rejects when there is no answer with status 200 within bounds of time and size. */
export type FetchBytes = (request: { readonly url: string; readonly body?: Uint8Array; readonly contentType?: string }) => Promise<Uint8Array<ArrayBuffer>>;

export type RevocationAnswer =
  | { readonly type: 'good'; /** Milliseconds since the epoch. */ readonly until: number }
  | { readonly type: 'revoked'; readonly until: number; readonly reason: string }
  | { readonly type: 'unknown'; readonly reason: string };

export type RevocationVerdict = { readonly type: 'accepted' } | { readonly type: 'refused'; readonly reason: string };

export type RevocationOptions = {
  /** Asked at each check. */
  readonly mode: () => RevocationMode;
  readonly fetchBytes: FetchBytes;
  readonly now: () => number;
};

export type Revocation = {
  /** @param chain DER, the leaf first, each followed by its issuer, up to the trusted root. */
  check(chain: readonly Uint8Array<ArrayBuffer>[]): Promise<RevocationVerdict>;
};

/** Certificates of one chain; longer ones are refused. */
const chainMax = 10;
/** Answers remembered. */
const answersMax = 10_000;
/** An answer is asked for anew after so long, however long it says that it holds: 1 hour. */
const answerMsMax = 3_600_000;
/** What nobody answered is asked again after so long. */
const unknownMs = 60_000;
/** Addresses tried of those that a certificate names. */
const addressesMax = 3;

const urlsOf = (names: readonly x509.GeneralName[]): string[] =>
  names.flatMap(({ type, value }) => (type === 'url' && /^https?:\/\//i.test(value) && URL.canParse(value) ? [value] : [])).slice(0, addressesMax);

const respondersOf = (certificate: x509.X509Certificate): string[] => urlsOf(certificate.getExtension(x509.AuthorityInfoAccessExtension)?.ocsp ?? []);

const listsOf = (certificate: x509.X509Certificate): string[] => {
  const points = certificate.getExtension(x509.CRLDistributionPointsExtension)?.distributionPoints ?? [];
  const names = points.flatMap(({ distributionPoint }) => distributionPoint?.fullName ?? []);
  return urlsOf(names.map((name) => new x509.GeneralName(name)));
};

export type Question = {
  readonly certificate: x509.X509Certificate;
  readonly issuer: x509.X509Certificate;
  readonly url: string;
  readonly fetchBytes: FetchBytes;
  readonly now: number;
};

/** The first answer that settles it; what went wrong with the others, when none does. */
const firstAnswer = async (urls: readonly string[], ask: (url: string) => Promise<RevocationAnswer>): Promise<RevocationAnswer | undefined> => {
  const reasons: string[] = [];
  for (const url of urls) {
    try {
      const answer = await ask(url);
      if (answer.type !== 'unknown') return answer;
      reasons.push(`${url}: ${answer.reason}`);
    } catch (error) {
      reasons.push(`${url}: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
  return urls.length === 0 ? undefined : { type: 'unknown', reason: reasons.join('; ') };
};

const askAll = async (question: Omit<Question, 'url'>): Promise<RevocationAnswer> => {
  const { certificate, now } = question;
  const online = await firstAnswer(respondersOf(certificate), (url) => responderAnswer({ ...question, url }));
  if (online !== undefined && online.type !== 'unknown') return online;
  const listed = await firstAnswer(listsOf(certificate), (url) => listAnswer({ ...question, url }));
  // Who names nobody to ask cannot be revoked.
  return listed ?? online ?? { type: 'good', until: now + answerMsMax };
};

/** Asked of the last of a chain alone: in the middle, a certificate that bears its issuer's name is still its issuer's to revoke. */
const isRoot = ({ subject, issuer }: x509.X509Certificate): boolean => subject === issuer;

const read = (chain: readonly Uint8Array<ArrayBuffer>[]): x509.X509Certificate[] | undefined => {
  try {
    return chain.map((der) => new x509.X509Certificate(der));
  } catch {
    return undefined;
  }
};

export const createRevocation = ({ mode: modeNow, fetchBytes, now }: RevocationOptions): Revocation => {
  const answers = createBoundedCache<{ readonly answer: RevocationAnswer; readonly until: number }>(answersMax);
  /** Questions under way, so that many connections at once ask once. */
  const asking = new Map<string, Promise<RevocationAnswer>>();

  const askOnce = async (id: string, certificate: x509.X509Certificate, issuer: x509.X509Certificate): Promise<RevocationAnswer> => {
    const answer = await askAll({ certificate, issuer, fetchBytes, now: now() });
    const until = answer.type === 'unknown' ? now() + unknownMs : Math.min(answer.until, now() + answerMsMax);
    answers.set(id, { answer, until });
    return answer;
  };
  const answerOf = async (certificate: x509.X509Certificate, issuer: x509.X509Certificate): Promise<RevocationAnswer> => {
    const id = toHex(new Uint8Array(await certificate.getThumbprint('SHA-256')));
    const known = answers.get(id);
    if (known !== undefined && known.until > now()) return known.answer;
    const running = asking.get(id) ?? askOnce(id, certificate, issuer).finally(() => asking.delete(id));
    asking.set(id, running);
    return await running;
  };
  const checkOne = async (certificate: x509.X509Certificate, issuer: x509.X509Certificate | undefined, mode: RevocationMode): Promise<string | undefined> => {
    if (issuer === undefined && isRoot(certificate)) return undefined;
    const answer: RevocationAnswer = issuer === undefined ? { type: 'unknown', reason: 'its issuer is not in the chain' } : await answerOf(certificate, issuer);
    if (answer.type === 'revoked') return `${certificate.subject} was revoked: ${answer.reason}`;
    if (answer.type === 'unknown' && mode === 'HARD_FAIL') return `whether ${certificate.subject} was revoked is not known: ${answer.reason}`;
    return undefined;
  };

  return {
    check: async (chain) => {
      const mode = modeNow();
      if (mode === 'OFF') return { type: 'accepted' };
      const certificates = chain.length > chainMax ? undefined : read(chain);
      if (certificates === undefined || certificates.length === 0) return { type: 'refused', reason: 'the certificate chain cannot be read' };
      const reasons = await Promise.all(certificates.map((certificate, at) => checkOne(certificate, certificates[at + 1], mode)));
      const reason = reasons.find((one) => one !== undefined);
      return reason === undefined ? { type: 'accepted' } : { type: 'refused', reason };
    },
  };
};
