/** The certificates that the other end of a TLS connection showed. */
import { TLSSocket, type DetailedPeerCertificate } from 'node:tls';

/** A chain of more certificates is cut: who reads it refuses it. */
const chainMax = 20;

/** DER, the leaf first, with issuers as far as they are known; empty where there is no TLS or no certificate. */
export const peerChainOf = (socket: unknown): Uint8Array<ArrayBuffer>[] => {
  if (!(socket instanceof TLSSocket)) return [];
  const chain: Uint8Array<ArrayBuffer>[] = [];
  let certificate: Partial<DetailedPeerCertificate> | undefined = socket.getPeerCertificate(true);
  while (certificate?.raw !== undefined && chain.length < chainMax) {
    chain.push(new Uint8Array(certificate.raw));
    // A root is its own issuer.
    if (certificate.issuerCertificate === certificate) break;
    certificate = certificate.issuerCertificate;
  }
  return chain;
};
