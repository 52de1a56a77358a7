/** How processes reach Kafka: what their settings say, and what stands in the files that these name. */
import { readFileSync } from 'node:fs';
import type { KafkaAccount } from '../src/bus/kafka-bridge/topics.ts';
import type { Settings } from './settings.ts';

export type KafkaSettings = Pick<
  Settings,
  'KAFKA_BROKERS' | 'CORDAGE_KAFKA_TOPIC_PREFIX' | 'CORDAGE_KAFKA_USERNAME' | 'CORDAGE_KAFKA_PASSWORD' | 'CORDAGE_KAFKA_TLS' | 'CORDAGE_KAFKA_CA_FILE' | 'CORDAGE_KAFKA_CERTIFICATE_FILE' | 'CORDAGE_KAFKA_KEY_FILE'
>;

const pemOf = (variable: string, path: string): string => {
  try {
    return readFileSync(path, 'utf8');
  } catch (cause) {
    throw new Error(`${variable}: the file ${path} cannot be read`, { cause });
  }
};

/** Throws where the settings do not fit together. */
export const kafkaAccount = (settings: KafkaSettings): KafkaAccount => {
  const { KAFKA_BROKERS: brokers, CORDAGE_KAFKA_TOPIC_PREFIX: prefix, CORDAGE_KAFKA_USERNAME: username, CORDAGE_KAFKA_PASSWORD: password } = settings;
  if (brokers === undefined) throw new Error('KAFKA_BROKERS must name a broker as host:port, several separated by commas');
  if ((username === undefined) !== (password === undefined)) throw new Error('CORDAGE_KAFKA_USERNAME and CORDAGE_KAFKA_PASSWORD go together');
  const pems = { ca: 'CORDAGE_KAFKA_CA_FILE', cert: 'CORDAGE_KAFKA_CERTIFICATE_FILE', key: 'CORDAGE_KAFKA_KEY_FILE' } as const;
  const files = Object.entries(pems).flatMap(([part, variable]) => (settings[variable] === undefined ? [] : [[part, pemOf(variable, settings[variable])] as const]));
  if (settings.CORDAGE_KAFKA_TLS === 'off' && files.length > 0) throw new Error('CORDAGE_KAFKA_TLS is off, and files for TLS are named: set it to on, or take them out');
  return {
    brokers,
    prefix,
    tls: settings.CORDAGE_KAFKA_TLS === 'on' ? Object.fromEntries(files) : undefined,
    sasl: username === undefined || password === undefined ? undefined : { username, password },
  };
};
