/** The files that one broker of a test starts from. */
import { randomUUID } from 'node:crypto';

export type Security = {
  /** PEM: the broker's key and certificate, and what clients of its TLS listener trust. */
  readonly keyPem: string;
  readonly certificatePem: string;
};

export type Ports = {
  /** Where clients connect. */
  readonly client: number;
  /** Brokers among themselves, and administrators: plain text on the loopback address. */
  readonly internal: number;
  readonly controller: number;
};

export type BrokerPlan = {
  readonly id: number;
  readonly ports: Ports;
  /** The address of the clients' listener. */
  readonly host: string;
  /** Of all nodes, this one among them. */
  readonly controllers: readonly { readonly id: number; readonly port: number }[];
  readonly dataDir: string;
  readonly security: Security | undefined;
  readonly properties: Readonly<Record<string, string>>;
};

/** Small and quick: tests wait for what these decide. */
const quick = (nodes: number): Record<string, string> => ({
  'auto.create.topics.enable': 'false',
  'group.initial.rebalance.delay.ms': '0',
  'group.min.session.timeout.ms': '1000',
  'offsets.topic.num.partitions': '4',
  'offsets.topic.replication.factor': String(Math.min(nodes, 3)),
  'transaction.state.log.num.partitions': '1',
  'transaction.state.log.replication.factor': String(Math.min(nodes, 3)),
  'transaction.state.log.min.isr': '1',
  'default.replication.factor': String(Math.min(nodes, 3)),
  'min.insync.replicas': nodes >= 3 ? '2' : '1',
  'num.network.threads': '2',
  'num.io.threads': '2',
  'num.recovery.threads.per.data.dir': '1',
  'log.cleaner.dedupe.buffer.size': '2097152',
  'log.cleaner.threads': '1',
  'background.threads': '2',
  // Nodes that share two processors with everything else are slow to answer at times.
  'controller.quorum.election.timeout.ms': '1000',
  'controller.quorum.fetch.timeout.ms': '2000',
  'broker.heartbeat.interval.ms': '500',
  'broker.session.timeout.ms': '3000',
  'replica.lag.time.max.ms': '5000',
  'controlled.shutdown.max.retries': '1',
});

const secured = (security: Security): Record<string, string> => ({
  'sasl.enabled.mechanisms': 'SCRAM-SHA-512',
  'authorizer.class.name': 'org.apache.kafka.metadata.authorizer.StandardAuthorizer',
  // The internal listener, which no client of a test uses but its administrator.
  'super.users': 'User:ANONYMOUS;User:admin',
  'listener.name.client.scram-sha-512.sasl.jaas.config': 'org.apache.kafka.common.security.scram.ScramLoginModule required;',
  'listener.name.client.ssl.keystore.type': 'PEM',
  'listener.name.client.ssl.keystore.key': onOneLine(security.keyPem),
  'listener.name.client.ssl.keystore.certificate.chain': onOneLine(security.certificatePem),
});

/** A property's value ends with its line; backslash and n stand for a break. */
const onOneLine = (pem: string): string => pem.trim().replaceAll('\n', '\\n');

export const serverProperties = ({ id, ports, host, controllers, dataDir, security, properties }: BrokerPlan): string => {
  const listeners = `CLIENT://${host}:${ports.client},INTERNAL://127.0.0.1:${ports.internal}`;
  const all: Record<string, string> = {
    'node.id': String(id),
    'process.roles': 'broker,controller',
    'controller.quorum.voters': controllers.map(({ id: voter, port }) => `${voter}@127.0.0.1:${port}`).join(','),
    listeners: `${listeners},CONTROLLER://127.0.0.1:${ports.controller}`,
    'advertised.listeners': listeners,
    'listener.security.protocol.map': `CLIENT:${security === undefined ? 'PLAINTEXT' : 'SASL_SSL'},INTERNAL:PLAINTEXT,CONTROLLER:PLAINTEXT`,
    'inter.broker.listener.name': 'INTERNAL',
    'controller.listener.names': 'CONTROLLER',
    'log.dirs': dataDir,
    ...quick(controllers.length),
    ...(security === undefined ? {} : secured(security)),
    ...properties,
  };
  return Object.entries(all).map(([name, value]) => `${name}=${value}\n`).join('');
};

/** 16 bytes as Kafka writes them. */
export const kafkaId = (): string => Buffer.from(randomUUID().replaceAll('-', ''), 'hex').toString('base64url');

/** What `kafka-storage format` would write; a start of Java for each broker is saved. */
export const metaProperties = (clusterId: string, id: number): string => `version=1\ncluster.id=${clusterId}\nnode.id=${id}\ndirectory.id=${kafkaId()}\n`;

/** Says when it is ready on its output; everything worth knowing else goes to a file. */
export const logProperties = (file: string): string => `
status=error
appender.out.type=Console
appender.out.name=OUT
appender.out.layout.type=PatternLayout
appender.out.layout.pattern=%m%n
appender.file.type=File
appender.file.name=FILE
appender.file.fileName=${file}
appender.file.layout.type=PatternLayout
appender.file.layout.pattern=%d %p %c{1} %m%n%ex
rootLogger.level=WARN
rootLogger.appenderRef.file.ref=FILE
logger.server.name=kafka.server.KafkaRaftServer
logger.server.level=INFO
logger.server.appenderRef.out.ref=OUT
`;
