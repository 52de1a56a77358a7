/** corda.membership: how long members of dynamic networks and their managers wait for each other. */
import * as z from 'zod';
import { section, whole } from './field.ts';

export const membershipSection = section({
  says: 'Dynamic networks: how long members and their managers wait for each other.',
  schema: z.strictObject({
    maxDurationBetweenSyncRequestsMinutes: whole({ byDefault: 480, min: 10, max: 2_880, unit: 'min', says: 'A cluster that has heard nothing new asks the manager for its list this often; counted from what it heard or asked last.' }),
    TTLs: z
      .strictObject({
        waitForMgmSession: whole({ byDefault: 30, min: 10, max: 40, unit: 'min', says: 'A registration that the manager has not answered by then has failed. A request that is 45 minutes old is taken for a replay.' }),
        verifyMemberRequest: whole({ byDefault: 20, min: 1, max: 2_880, unit: 'min', says: 'A member that has not answered the question whether a request is its own is declined, by the manager.' }),
      })
      .prefault({}),
  }),
  ignored: {
    frequencyOfExpirationPoll: 'each request has its own time; nothing is polled',
    expirationTimeFrame: 'see TTLs.verifyMemberRequest',
    'TTLs.membersPackageUpdate': 'what could not be delivered within a day is asked for again',
    'TTLs.declineRegistration': 'what could not be delivered within a day is asked for again',
    'TTLs.updateToPendingAutoApproval': 'what could not be delivered within a day is asked for again',
  },
});
