/** member-to-member.wake: something is to be repeated or given up. */
import { memberToMemberWake } from '../../messages/member-to-member.wake.ts';
import type { Machine } from '../../shell/worker.ts';
import type { MemberEvent } from './event.ts';

export const onWake: NonNullable<Machine<never, never, MemberEvent>['wake']> = { wire: memberToMemberWake, toEvent: (dueAt) => ({ type: 'wake', dueAt }) };
