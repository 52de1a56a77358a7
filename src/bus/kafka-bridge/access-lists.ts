/** Kafka's own access lists for the principals of the rooms: the same as the bridge's (http-server-access.ts), from the same wires. */
import { AclOperations, AclPermissionTypes, ResourcePatternTypes, ResourceTypes, type Acl } from '@platformatic/kafka';
import { rooms, type Room, type Wire } from '../../messages/grammar/wire.ts';
import { accessFor } from '../http-server-access.ts';
import { createNames } from './names.ts';
import { withAdmin, type KafkaAccount } from './topics.ts';

export type AccessRule = {
  /** `User:…` */
  readonly principal: string;
  readonly may: 'read' | 'write' | 'describe';
  readonly on: 'topic' | 'group';
  /** Kafka's name; with `begins`, of all that begin with it. */
  readonly name: string;
  readonly begins: boolean;
};

export const principalOf = (room: Room, userPrefix: string): string => `User:${userPrefix}${room}`;

/** A room's bridge writes where the room speaks, reads what it hears, and uses the groups that bear its name. */
export const accessRules = (wires: readonly Wire<any, any>[], { prefix, userPrefix }: { prefix: string; userPrefix: string }): readonly AccessRule[] => {
  const names = createNames(prefix);
  return rooms.flatMap((room): AccessRule[] => {
    const access = accessFor(room, wires);
    const principal = principalOf(room, userPrefix);
    const topics = wires.flatMap(({ topic }): AccessRule[] => {
      const rule = { principal, on: 'topic', name: names.topic(topic), begins: false } as const;
      // To write or to read is to be told of it, too.
      return [...(access.mayProduce(topic) ? [{ ...rule, may: 'write' } as const] : []), ...(access.mayRead(topic) ? [{ ...rule, may: 'read' } as const] : [])];
    });
    const group = { principal, may: 'read', on: 'group' } as const;
    return [...topics, { ...group, name: names.group(room), begins: false }, { ...group, name: names.group(`${room}/`), begins: true }];
  });
};

const operations = { read: AclOperations.READ, write: AclOperations.WRITE, describe: AclOperations.DESCRIBE } as const;

const aclOf = ({ principal, may, on, name, begins }: AccessRule): Acl => ({
  resourceType: on === 'topic' ? ResourceTypes.TOPIC : ResourceTypes.GROUP,
  resourceName: name,
  resourcePatternType: begins ? ResourcePatternTypes.PREFIXED : ResourcePatternTypes.LITERAL,
  principal,
  host: '*',
  operation: operations[may],
  permissionType: AclPermissionTypes.ALLOW,
});

const textOf = ({ resourceType, resourceName, resourcePatternType, principal, operation }: Pick<Acl, 'resourceType' | 'resourceName' | 'resourcePatternType' | 'principal' | 'operation'>): string =>
  [resourceType, resourceName, resourcePatternType, principal, operation].join(' ');

/** The rules that Kafka does not have yet. */
export const missingRules = (account: KafkaAccount, rules: readonly AccessRule[]): Promise<readonly AccessRule[]> =>
  withAdmin(account, 'tell its access lists', async (admin) => {
    const filter = { resourceType: ResourceTypes.ANY, resourceName: null, resourcePatternType: ResourcePatternTypes.ANY, principal: null, host: null, operation: AclOperations.ANY, permissionType: AclPermissionTypes.ALLOW };
    const known = new Set<string>();
    for (const { resourceType, resourceName, resourcePatternType, acls } of await admin.describeAcls({ filter })) {
      for (const { principal, operation } of acls) known.add(textOf({ resourceType, resourceName, resourcePatternType, principal, operation }));
    }
    return rules.filter((rule) => !known.has(textOf(aclOf(rule))));
  });

export const applyRules = async (account: KafkaAccount, rules: readonly AccessRule[]): Promise<void> => {
  if (rules.length === 0) return;
  await withAdmin(account, 'make access lists', (admin) => admin.createAcls({ creations: rules.map(aclOf) }));
};
