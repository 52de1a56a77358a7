/** corda.membership: joining networks and staying in step with them. */
import * as z from 'zod';
import { section, whole } from './field.ts';

const minutes = 'min';
const ttl = (byDefault: number, says: string) => whole({ byDefault, min: 1, max: 2_880, unit: minutes, says });

export const membershipSection = section({
  says: 'Joining networks, and staying in step with them.',
  schema: z.strictObject({
    maxDurationBetweenSyncRequestsMinutes: whole({ byDefault: 480, min: 10, max: 2_880, unit: minutes, says: 'Longest time between two questions to the MGM whether a member has missed something.' }),
    expirationTimeFrame: whole({ byDefault: 180, min: 1, max: 2_880, unit: minutes, says: 'Age at which a registration that has not moved is declined.' }),
    TTLs: z
      .strictObject({
        membersPackageUpdate: ttl(10, 'How long a package of members from the MGM may be under way.'),
        declineRegistration: ttl(8, 'How long the message that declines a registration may be under way.'),
        updateToPendingAutoApproval: ttl(3, 'How long the message that a registration waits for its approval may be under way.'),
        verifyMemberRequest: ttl(20, 'How long the MGM\'s question to a new member may be under way.'),
        waitForMgmSession: whole({ byDefault: 30, min: 10, max: 2_880, unit: minutes, says: 'How long a registration waits for the MGM to be reached.' }),
      })
      .prefault({}),
  }),
  ignored: { frequencyOfExpirationPoll: 'registrations are woken when their time has come' },
});
