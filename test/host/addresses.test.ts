import { describe, expect, test } from 'vitest';
import { AddressRefused, createAddressGuard, isLoopback } from '../../src/host/addresses.ts';

/** What the guard's lookup gives for a host, in the two forms in which Node asks. */
const lookedUp = (guard: ReturnType<typeof createAddressGuard>, host: string, all: boolean): Promise<unknown> =>
  new Promise((resolve, reject) => {
    guard.lookup(host, { all }, (error, found) => (error === null ? resolve(found) : reject(error)));
  });

describe('the guard of addresses', () => {
  test.each([
    '127.0.0.1', '10.1.2.3', '172.31.255.255', '192.168.0.1', '169.254.169.254', '100.64.0.1', '0.0.0.0', '224.0.0.1', '255.255.255.255',
    '::1', '::', 'fe80::1', 'fd00:ec2::254', 'ff02::1', '::ffff:127.0.0.1', '::ffff:8.8.8.8', '64:ff9b::7f00:1', '2002:7f00:1::', '2001:db8::1',
  ])('refuses %s, which is not a public address', (address) => {
    expect(createAddressGuard().allows(address)).toBe(false);
  });

  test.each(['8.8.8.8', '172.32.0.1', '100.128.0.1', '2606:4700::1111', '2a00:1450:4001::1'])('allows %s, which is', (address) => {
    expect(createAddressGuard().allows(address)).toBe(true);
  });

  test('allows the ranges that the operator opened, and nothing beside them', () => {
    const guard = createAddressGuard(['10.1.0.0/16', 'fd00::/8']);
    expect(['10.1.2.3', 'fd12::1', '10.2.0.1', 'fe80::1', '127.0.0.1'].map(guard.allows)).toEqual([true, true, false, false, false]);
  });

  test('allows nothing that is no address', () => {
    expect(['localhost', '', '10.0.0', '1'].map(createAddressGuard(['0.0.0.0/0']).allows)).toEqual([false, false, false, false]);
  });

  test.each(['10.0.0.0', '10.0.0.0/33', 'fd00::/129', 'localhost/8', '10.0.0.0/x', '/8'])('says what is wrong with the range "%s"', (range) => {
    expect(() => createAddressGuard([range])).toThrow(RangeError);
  });

  test('resolves a name to its allowed addresses alone', async () => {
    for (const all of [true, false]) {
      await expect(lookedUp(createAddressGuard(), 'localhost', all)).rejects.toBeInstanceOf(AddressRefused);
    }
    expect(await lookedUp(createAddressGuard(['127.0.0.0/8']), 'localhost', true)).toEqual([{ address: '127.0.0.1', family: 4 }]);
    expect(await lookedUp(createAddressGuard(['127.0.0.0/8']), 'localhost', false)).toBe('127.0.0.1');
  });
});

test('only the loopback is known to be this machine’s alone', () => {
  for (const host of ['127.0.0.1', '127.8.9.1', '::1', 'localhost']) expect(isLoopback(host), host).toBe(true);
  for (const host of ['0.0.0.0', '::', '10.0.0.1', 'example.com', '', '::ffff:10.0.0.1', 'localhost.example']) expect(isLoopback(host), host).toBe(false);
});
