/** Who knows the group policy of a network and nothing else: writes registrations as a cluster would, whole or with a fault in them. */
import { fromBase64url, randomBytes, toBase64url, utf8 } from '../../src/cipher/bytes.ts';
import { canonicalJson } from '../../src/cipher/canonical-json.ts';
import { sealToKey } from '../../src/cipher/sealed-to-key.ts';
import { generateKeyPair, prepareSigner } from '../../src/cipher/signature.ts';
import { deriveId, pairTagOf } from '../../src/identity/derive.ts';
import { parseGroupPolicy } from '../../src/packaging/group-policy.ts';
import { managerOf } from '../../src/workers/member/joining/policy.ts';
import { keyMap } from '../../src/workers/member/peer/context-map.ts';
import { contextInput, requestInput } from '../../src/workers/member/peer/entry.ts';
import { sealInfo, type RegistrationRequest, type SignedRequest } from '../../src/workers/member/peer/peer-message.ts';
import type { Packet } from './recording-gateway.ts';

const spec = 'EdDSA';
const newKey = async () => {
  const { publicKey, privateKey } = await generateKeyPair('CORDA.EDDSA.ED25519');
  const signer = await prepareSigner(privateKey);
  return { publicKey: toBase64url(publicKey), spec, sign: async (input: Uint8Array) => toBase64url(await signer.sign(spec, input)) };
};
type Key = Awaited<ReturnType<typeof newKey>>;

export type Fault = {
  readonly x500Name: string;
  readonly request?: Partial<RegistrationRequest>;
  readonly context?: Readonly<Record<string, string>>;
  /** Another key than the one that the request names signs the request, or the context. */
  readonly signsRequest?: boolean;
  readonly signsContext?: boolean;
  /** SubjectPublicKeyInfo of somebody else than the manager. */
  readonly sealedTo?: Uint8Array;
  /** Whom the packet names as its sender, where that is somebody else. */
  readonly source?: string;
};

export type Forger = { packet(fault: Fault): Promise<Packet> };

const idOf = (): string => deriveId('forged', toBase64url(randomBytes(16)));

export const openForger = async (policyText: string): Promise<Forger> => {
  const parsed = parseGroupPolicy(policyText);
  const manager = parsed.type === 'policy' && parsed.policy.type === 'dynamic' ? managerOf(parsed.policy) : 'no dynamic policy';
  if (typeof manager === 'string' || parsed.type === 'invalid') throw new Error(String(manager));
  const { groupId } = parsed.policy;
  const destination = manager.member.x500Name;
  const [own, other] = await Promise.all([newKey(), newKey()]);
  const signedBy = (forged: boolean | undefined): Key => (forged === true ? other : own);
  return {
    packet: async ({ x500Name, request: changes, context: more, signsRequest, signsContext, sealedTo, source = x500Name }) => {
      const registrationId = changes?.registrationId ?? idOf();
      const memberContext = {
        'corda.name': x500Name, 'corda.groupId': groupId, 'corda.platformVersion': '50200', 'corda.softwareVersion': '1', 'corda.serial': '0', 'corda.registration.id': registrationId,
        'corda.endpoints.0.connectionURL': 'https://localhost:1', 'corda.endpoints.0.protocolVersion': '1', ...keyMap('corda.session.keys.0', own), ...more,
      };
      const request: RegistrationRequest = { v: 1, registrationId, groupId, x500Name, manager: destination, memberContext, serial: 0, token: null, sentAt: Date.now(), ...changes };
      const signed: SignedRequest = {
        request,
        signature: await signedBy(signsRequest).sign(requestInput(request)),
        signatures: [{ publicKey: own.publicKey, spec, signature: await signedBy(signsContext).sign(contextInput(memberContext)) }],
      };
      const reader = sealedTo ?? fromBase64url(manager.agreementKey);
      const sealed = await sealToKey(reader, utf8(canonicalJson(signed)), { info: sealInfo, aad: utf8(`${groupId}/${destination}`) });
      const packet = JSON.stringify({ v: 1, type: 'unauthenticated', messageId: idOf(), groupId, source, destination, payload: JSON.stringify({ v: 1, sealed }) });
      return { tag: pairTagOf(groupId, source, destination), packet, unauthenticated: true };
    },
  };
};
