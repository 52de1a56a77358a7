/** `cordage topics apply`: the topics of the wires in Kafka, and who may touch them. */
import { parseArgs } from 'node:util';
import { kafkaAccount } from '../../containers/kafka.ts';
import { settingsShape } from '../../containers/settings.ts';
import { accessRules, applyRules, missingRules, type AccessRule } from '../bus/kafka-bridge/access-lists.ts';
import { applyTopics, planTopics, type KafkaAccount, type TopicPlan } from '../bus/kafka-bridge/topics.ts';
import { partitionCountDefault } from '../bus/bus.ts';
import { topicsOf } from '../bus/topics.ts';
import { wires } from '../messages/messages.ts';
import { usageError } from './arguments.ts';
import { exitCodes } from './exit-codes.ts';

export const topicsApplyUsage = `cordage topics apply [--preview] [--brokers <host:port,…>] [--prefix <text>] [--partitions <n>] [--replicas <n>] [--acls] [--users <text>]

  Makes the topics of the wires in Kafka and sets how they keep their records; what stands there as it should is left alone.
  --preview     shows what would be done, and does nothing
  --brokers     default KAFKA_BROKERS; CORDAGE_KAFKA_TLS, _CA_FILE, _USERNAME and _PASSWORD say how to log in (containers/settings.ts)
  --prefix      before each topic and group, so that several clusters share one Kafka (default CORDAGE_KAFKA_TOPIC_PREFIX, or none)
  --partitions  of every topic (default ${partitionCountDefault}); a topic that stands with another number is refused, since keys would lose their order
  --replicas    of every partition (default 3, or as many as there are brokers)
  --acls        makes access lists for the rooms' users as well; --preview shows them always
  --users       beginning of those users' names (default cordage-, as in cordage-flow)`;

const countOf = (name: string, text: string | undefined): number | undefined => {
  if (text === undefined) return undefined;
  const count = Number(text);
  if (Number.isInteger(count) && count >= 1 && count <= 1_000) return count;
  throw usageError(`--${name} must be a number from 1 to 1000, not "${text}"`);
};

const optionsOf = (args: readonly string[]) => {
  const { values } = parseArgs({
    args: [...args],
    options: {
      preview: { type: 'boolean', default: false },
      brokers: { type: 'string' },
      prefix: { type: 'string' },
      partitions: { type: 'string' },
      replicas: { type: 'string' },
      acls: { type: 'boolean', default: false },
      users: { type: 'string', default: 'cordage-' },
    },
  });
  const given = { ...process.env, ...(values.brokers === undefined ? {} : { KAFKA_BROKERS: values.brokers }), ...(values.prefix === undefined ? {} : { CORDAGE_KAFKA_TOPIC_PREFIX: values.prefix }) };
  const parsed = settingsShape.safeParse(given);
  if (!parsed.success) throw usageError(parsed.error.issues.map(({ path, message }) => `${path.join('.')}: ${message}`).join('; '));
  if (parsed.data.KAFKA_BROKERS === undefined) throw usageError('topics apply needs --brokers, or KAFKA_BROKERS in the environment');
  return {
    account: kafkaAccount(parsed.data),
    partitions: countOf('partitions', values.partitions) ?? partitionCountDefault,
    replicas: countOf('replicas', values.replicas),
    preview: values.preview,
    acls: values.acls,
    users: values.users,
  };
};

const detailOf = (plan: TopicPlan): string => {
  switch (plan.action) {
    case 'create': {
      const settings = Object.entries(plan.settings).map(([name, value]) => `${name}=${value}`);
      return `${plan.partitions} partitions × ${plan.replicas}, ${settings.join(' ')}`;
    }
    case 'change':
      return plan.changes.map(({ name, from, to }) => `${name}: ${from} → ${to}`).join(', ');
    case 'keep':
      return '';
    case 'refuse':
      return plan.reason;
  }
};

const showPlans = (plans: readonly TopicPlan[]): void => {
  const width = Math.max(...plans.map(({ topic }) => topic.length));
  for (const plan of plans) console.log(`  ${plan.action.padEnd(6)}  ${plan.topic.padEnd(width)}  ${detailOf(plan)}`.trimEnd());
  const counts = (['create', 'change', 'keep', 'refuse'] as const).map((action) => `${plans.filter((plan) => plan.action === action).length} ${action}`);
  console.log(`  ${plans.length} topics: ${counts.join(', ')}`);
};

const ruleText = ({ principal, may, on, name, begins }: AccessRule): string => `${principal} may ${may} ${on} ${name}${begins ? '*' : ''}`;

/** A Kafka without an authorizer keeps no access lists: then all rules are shown, and none can be made. */
const rulesToMake = async (account: KafkaAccount, rules: readonly AccessRule[], acls: boolean): Promise<readonly AccessRule[]> => {
  try {
    return await missingRules(account, rules);
  } catch (error) {
    if (acls) throw error;
    return rules;
  }
};

export const topicsApply = async (args: readonly string[]): Promise<number> => {
  const { account, partitions, replicas, preview, acls, users } = optionsOf(args);
  const plans = await planTopics({ account, topics: topicsOf(wires, partitions), replicas });
  showPlans(plans);
  const rules = preview || acls ? await rulesToMake(account, accessRules(wires, { prefix: account.prefix, userPrefix: users }), acls) : [];
  for (const rule of rules) console.log(`  allow   ${ruleText(rule)}`);
  if (!preview) await applyTopics(account, plans);
  if (!preview && acls) await applyRules(account, rules);
  if (preview) console.log('  nothing was done: leave --preview out to do it');
  const refused = plans.some(({ action }) => action === 'refuse');
  return refused ? exitCodes.refused : exitCodes.done;
};
