/** The group policy that members join with: what `GET /mgm/{short hash}/info` answers, and `cordage package cpi` takes. */
import type { MgmState } from './state.ts';

export const groupPolicyOf = ({ group, hosted }: MgmState, groupId: string): string | undefined => {
  if (group === null) return undefined;
  const clientSubject = group.rules.p2p.tlsType === 'Mutual' ? { mtlsMgmClientCertificateSubject: hosted?.tlsCertificate?.subject } : {};
  const { rules, memberContext, mgmContext } = group;
  const { registrationProtocol, synchronisationProtocol, sessionKeyPolicy, p2p } = rules;
  return JSON.stringify({
    fileFormatVersion: 1,
    groupId,
    registrationProtocol,
    synchronisationProtocol,
    protocolParameters: { sessionKeyPolicy },
    p2pParameters: { ...p2p, ...clientSubject },
    mgmInfo: { ...memberContext, ...mgmContext },
    cipherSuite: {
      'corda.provider': 'default',
      'corda.signature.provider': 'default',
      'corda.signature.default': 'ECDSA_SECP256R1_SHA256',
      'corda.signature.FRESH_KEYS': 'ECDSA_SECP256R1_SHA256',
      'corda.digest.default': 'SHA256',
      'corda.cryptoservice.provider': 'default',
    },
  });
};
