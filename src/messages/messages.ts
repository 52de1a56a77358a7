/** The door of this room: every wire and peer protocol there is. Topics, access lists and the wiring table come from it. */
import type { PeerProtocol, Wire } from './grammar/wire.ts';
import { allToCryptoKey } from './all-to-crypto.key.ts';
import { allToCryptoSign } from './all-to-crypto.sign.ts';
import { allToDbAnswer } from './all-to-db.answer.ts';
import { allToFlowAnswer } from './all-to-flow.answer.ts';
import { allToGatewayAnswer } from './all-to-gateway.answer.ts';
import { allToLinkManagerAnswer } from './all-to-link-manager.answer.ts';
import { allToLinkManagerSend } from './all-to-link-manager.send.ts';
import { allToMemberAnswer } from './all-to-member.answer.ts';
import { allToRestAnswer } from './all-to-rest.answer.ts';
import { clientToRestApi } from './client-to-rest.api.ts';
import { cryptoToCryptoRotate } from './crypto-to-crypto.rotate.ts';
import { cryptoToDbCertificate } from './crypto-to-db.certificate.ts';
import { dbToAllCertificate } from './db-to-all.certificate.ts';
import { dbToAllConfig } from './db-to-all.config.ts';
import { dbToAllCpi } from './db-to-all.cpi.ts';
import { dbToAllVirtualNode } from './db-to-all.virtual-node.ts';
import { dbToFlowCpk } from './db-to-flow.cpk.ts';
import { dbToFlowEviction } from './db-to-flow.eviction.ts';
import { dbToMemberDeparture } from './db-to-member.departure.ts';
import { dbToRestPermission } from './db-to-rest.permission.ts';
import { dbToRestRole } from './db-to-rest.role.ts';
import { dbToRestUser } from './db-to-rest.user.ts';
import { flowToDbEntity } from './flow-to-db.entity.ts';
import { flowToDbQuery } from './flow-to-db.query.ts';
import { flowToFlowEviction } from './flow-to-flow.eviction.ts';
import { flowToFlowSession } from './flow-to-flow.session.ts';
import { flowToFlowWake } from './flow-to-flow.wake.ts';
import { flowToRestStatus } from './flow-to-rest.status.ts';
import { gatewayToCryptoTlsKey } from './gateway-to-crypto.tls-key.ts';
import { gatewayToGatewayPacket } from './gateway-to-gateway.packet.ts';
import { gatewayToLinkManagerLinkIn } from './gateway-to-link-manager.link-in.ts';
import { linkManagerToFlowReceive } from './link-manager-to-flow.receive.ts';
import { linkManagerToGatewayLinkOut } from './link-manager-to-gateway.link-out.ts';
import { linkManagerToLinkManagerSession } from './link-manager-to-link-manager.session.ts';
import { linkManagerToLinkManagerWake } from './link-manager-to-link-manager.wake.ts';
import { linkManagerToMemberReceive } from './link-manager-to-member.receive.ts';
import { memberToAllGroupParameters } from './member-to-all.group-parameters.ts';
import { memberToAllMember } from './member-to-all.member.ts';
import { memberToCryptoSeal } from './member-to-crypto.seal.ts';
import { memberToGatewayClientSubject } from './member-to-gateway.client-subject.ts';
import { memberToLinkManagerHostedIdentity } from './member-to-link-manager.hosted-identity.ts';
import { memberToLinkManagerUnauthenticated } from './member-to-link-manager.unauthenticated.ts';
import { memberToMemberGroup } from './member-to-member.group.ts';
import { memberToMemberListed } from './member-to-member.listed.ts';
import { memberToMemberWake } from './member-to-member.wake.ts';
import { restToCryptoCsr } from './rest-to-crypto.csr.ts';
import { restToCryptoRotation } from './rest-to-crypto.rotation.ts';
import { restToCryptoTlsKey } from './rest-to-crypto.tls-key.ts';
import { restToCryptoTransfer } from './rest-to-crypto.transfer.ts';
import { restToDbCertificate } from './rest-to-db.certificate.ts';
import { restToDbConfig } from './rest-to-db.config.ts';
import { restToDbCpi } from './rest-to-db.cpi.ts';
import { restToDbRbac } from './rest-to-db.rbac.ts';
import { restToDbTransfer } from './rest-to-db.transfer.ts';
import { restToDbVirtualNode } from './rest-to-db.virtual-node.ts';
import { restToFlowKill } from './rest-to-flow.kill.ts';
import { restToFlowQuery } from './rest-to-flow.query.ts';
import { restToFlowRedrive } from './rest-to-flow.redrive.ts';
import { restToFlowStart } from './rest-to-flow.start.ts';
import { restToLinkManagerReceipt } from './rest-to-link-manager.receipt.ts';
import { restToMemberLookup } from './rest-to-member.lookup.ts';
import { restToMemberMgm } from './rest-to-member.mgm.ts';
import { restToMemberNetwork } from './rest-to-member.network.ts';
import { restToMemberRegistration } from './rest-to-member.registration.ts';

export const wires: readonly Wire<any, any>[] = [
  allToCryptoKey,
  allToCryptoSign,
  allToDbAnswer,
  allToFlowAnswer,
  allToGatewayAnswer,
  allToLinkManagerAnswer,
  allToLinkManagerSend,
  allToMemberAnswer,
  allToRestAnswer,
  cryptoToCryptoRotate,
  cryptoToDbCertificate,
  dbToAllCertificate,
  dbToAllConfig,
  dbToAllCpi,
  dbToAllVirtualNode,
  dbToFlowCpk,
  dbToFlowEviction,
  dbToMemberDeparture,
  dbToRestPermission,
  dbToRestRole,
  dbToRestUser,
  flowToDbEntity,
  flowToDbQuery,
  flowToFlowEviction,
  flowToFlowWake,
  flowToRestStatus,
  gatewayToCryptoTlsKey,
  gatewayToLinkManagerLinkIn,
  linkManagerToFlowReceive,
  linkManagerToGatewayLinkOut,
  linkManagerToLinkManagerWake,
  linkManagerToMemberReceive,
  memberToAllGroupParameters,
  memberToAllMember,
  memberToCryptoSeal,
  memberToGatewayClientSubject,
  memberToLinkManagerHostedIdentity,
  memberToLinkManagerUnauthenticated,
  memberToMemberGroup,
  memberToMemberListed,
  memberToMemberWake,
  restToCryptoCsr,
  restToCryptoRotation,
  restToCryptoTlsKey,
  restToCryptoTransfer,
  restToDbCertificate,
  restToDbConfig,
  restToDbCpi,
  restToDbRbac,
  restToDbTransfer,
  restToDbVirtualNode,
  restToFlowKill,
  restToFlowQuery,
  restToFlowRedrive,
  restToFlowStart,
  restToLinkManagerReceipt,
  restToMemberLookup,
  restToMemberMgm,
  restToMemberNetwork,
  restToMemberRegistration,
];

export const peerProtocols: readonly PeerProtocol[] = [
  clientToRestApi,
  flowToFlowSession,
  gatewayToGatewayPacket,
  linkManagerToLinkManagerSession,
];
