/** The process kind `topics`: makes the topics of the wires in Kafka, and with `CORDAGE_KAFKA_ACLS` the access lists of the rooms, and ends. */
import { accessRules, applyRules, missingRules } from '../src/bus/kafka-bridge/access-lists.ts';
import { applyTopics, planTopics } from '../src/bus/kafka-bridge/topics.ts';
import { topicsOf } from '../src/bus/topics.ts';
import { wires } from '../src/messages/messages.ts';
import type { BrokerPowers } from './broker.ts';
import { kafkaAccount } from './kafka.ts';
import { patiently } from './patience.ts';
import type { Settings } from './settings.ts';

export const startTopics = async (settings: Settings, powers: BrokerPowers): Promise<void> => {
  const { log } = powers;
  const account = kafkaAccount(settings);
  const plans = await patiently('Kafka', powers, () => planTopics({ account, topics: topicsOf(wires), replicas: settings.CORDAGE_KAFKA_REPLICAS }));
  const refused = plans.filter((plan) => plan.action === 'refuse');
  if (refused.length > 0) throw new Error(refused.map(({ topic, reason }) => `${topic}: ${reason}`).join('; '));
  await applyTopics(account, plans);
  const userPrefix = settings.CORDAGE_KAFKA_ACLS;
  const rules = userPrefix === undefined ? [] : await missingRules(account, accessRules(wires, { prefix: account.prefix, userPrefix }));
  await applyRules(account, rules);
  const count = (action: string): number => plans.filter((plan) => plan.action === action).length;
  log.info('topics.done', { created: count('create'), changed: count('change'), kept: count('keep'), rules: rules.length });
};
