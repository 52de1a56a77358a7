/** A gateway in front of a gateway: a machine on the way that ends TLS, writes down what goes to a cluster, and hands it on. */
import { createHttpClient } from '../../src/host/http-client.ts';
import { listen } from '../../src/host/http-server.ts';
import { packetRequest, type PacketRequest } from '../../src/messages/gateway-to-gateway.packet.ts';
import { makeTlsKey } from '../workers/gateway/gateway-fixture.ts';

export type Packet = PacketRequest['packets'][number];

export type RecordingGateway = {
  readonly url: string;
  /** To be trusted by the network. */
  readonly certificatePem: string;
  /** All that went through, oldest first. */
  readonly packets: readonly Packet[];
  close(): Promise<void>;
};

/** @param to says where the gateway behind it is, and its certificate, once it runs. */
export const openRecordingGateway = async (to: () => { readonly url: string; readonly certificatePem: string }): Promise<RecordingGateway> => {
  const key = await makeTlsKey();
  const client = createHttpClient();
  const packets: Packet[] = [];
  const listener = await listen({
    hostname: '127.0.0.1', port: 0, tls: [key], limits: { closeMsMax: 50 },
    fetch: async (request) => {
      const body = await request.text();
      packets.push(...(packetRequest.safeParse(JSON.parse(body)).data?.packets ?? []));
      const { url, certificatePem } = to();
      const answer = await client.post({ url, body, trustRootsPem: [certificatePem], timeoutMs: 10_000 });
      return Response.json({}, { status: answer.type === 'answered' ? answer.status : 503 });
    },
  });
  const close = async (): Promise<void> => {
    await listener.close();
    await client.close();
  };
  return { url: `https://localhost:${listener.port}`, certificatePem: key.certificateChainPem, packets, close };
};
