/** Members of the test's group. */
import { holdingIdentityOf } from '../../../../src/identity/holding-identity.ts';
import { parseX500 } from '../../../../src/identity/x500.ts';

export const groupId = 'test-group';
export const nameOf = (common: string): string => `CN=${common}, O=${common}, L=London, C=GB`;

export const identityOf = (common: string) => {
  const parsed = parseX500(nameOf(common));
  if (parsed.type !== 'name') throw new Error(parsed.reason);
  return holdingIdentityOf(parsed.name, groupId);
};
