/**
 * Which network addresses this process may connect to on the word of others: an endpoint in a member list names any host it
 * likes, and must not make us knock at doors inside our own network (server-side request forgery). Refused unless allowed: what
 * the IANA registries of special-purpose addresses (RFC 6890) call not globally reachable.
 */
import { lookup as resolve, type LookupAddress, type LookupOptions } from 'node:dns';
import { BlockList, isIP, type LookupFunction } from 'node:net';

const specialIPv4 = [
  '0.0.0.0/8', '10.0.0.0/8', '100.64.0.0/10', '127.0.0.0/8', '169.254.0.0/16', '172.16.0.0/12', '192.0.0.0/24', '192.0.2.0/24', '192.88.99.0/24',
  '192.168.0.0/16', '198.18.0.0/15', '198.51.100.0/24', '203.0.113.0/24', '224.0.0.0/4', '240.0.0.0/4',
] as const;
/** Only 2000::/3 is global; within it, what carries an IPv4 address (6to4, Teredo) or is for documents is not. */
const specialIPv6 = ['::/3', '4000::/2', '8000::/1', '2001::/32', '2001:db8::/32', '2002::/16', '3fff::/20'] as const;

type Family = 'ipv4' | 'ipv6';
/** One list for each family: within one list an IPv4 address would also match the ranges of its IPv6 form. */
type Ranges = Readonly<Record<Family, BlockList>>;

const familyOf = (address: string): Family => (isIP(address) === 4 ? 'ipv4' : 'ipv6');

const rangesFrom = (texts: readonly string[]): Ranges => {
  const ranges = { ipv4: new BlockList(), ipv6: new BlockList() };
  for (const text of texts) {
    const [address = '', length = ''] = text.split('/');
    const family = familyOf(address);
    const bits = /^\d{1,3}$/.test(length) ? Number(length) : -1;
    if (isIP(address) === 0 || bits < 0 || bits > (family === 'ipv4' ? 32 : 128)) throw new RangeError(`"${text}" is not an address range such as 10.0.0.0/8 or fd00::/8`);
    ranges[family].addSubnet(address, bits, family);
  }
  return ranges;
};

const contain = (ranges: Ranges, address: string): boolean => ranges[familyOf(address)].check(address, familyOf(address));

export type AddressGuard = {
  allows(address: string): boolean;
  /** Resolves a name to those of its addresses that are allowed; with none left the connection fails with ADDRESS_REFUSED. */
  readonly lookup: LookupFunction;
};

/** The connection was not tried: no address of the host may be connected to. */
export class AddressRefused extends Error {
  readonly code = 'ADDRESS_REFUSED';
  constructor(host: string) {
    super(`${host} is an address inside a private or special network: allow its range, or correct the endpoint`);
    this.name = 'AddressRefused';
  }
}

const special = rangesFrom([...specialIPv4, ...specialIPv6]);

/** @param allowed ranges in CIDR notation that may be connected to although they are not public. @throws RangeError */
export const createAddressGuard = (allowed: readonly string[] = []): AddressGuard => {
  const exceptions = rangesFrom(allowed);
  const allows = (address: string): boolean => {
    if (isIP(address) === 0) return false;
    return contain(exceptions, address) || !contain(special, address);
  };
  const lookup: LookupFunction = (hostname, options: LookupOptions, callback) => {
    resolve(hostname, { ...options, all: true }, (error: NodeJS.ErrnoException | null, found: LookupAddress[]) => {
      if (error !== null) return callback(error, []);
      const fit = found.filter(({ address }) => allows(address));
      if (fit.length === 0) return callback(new AddressRefused(hostname), []);
      if (options.all === true) return callback(null, fit);
      callback(null, fit[0]!.address, fit[0]!.family);
    });
  };
  return { allows, lookup };
};

const loopback = rangesFrom(['127.0.0.0/8', '::1/128']);

/** Whether only this machine reaches what listens here. */
export const isLoopback = (host: string): boolean => host === 'localhost' || (isIP(host) !== 0 && contain(loopback, host));
