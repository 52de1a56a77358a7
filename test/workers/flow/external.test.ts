/** What a flow asks of other rooms: how long its records are is known before they are made. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { recordValueCharsMax } from '../../../src/messages/grammar/envelope.ts';
import { entityRequest, type EntityKind, type Request } from '../../../src/workers/flow/engine/external.ts';
import { identityOf } from './world/identities.ts';

const asker = { flowId: 'f'.repeat(64), incarnation: 'i'.repeat(64), op: 999_999_999, identity: identityOf('Alice') };

const ask = (kind: EntityKind, params: object) => entityRequest(asker, kind, params, JSON.stringify(params).length);
const chars = ({ message }: Request): number => message.record!.value.length;

const text = fc.string({ unit: 'binary', maxLength: 200 });
const items = fc.array(fc.record({ id: fc.string({ unit: 'binary', minLength: 1, maxLength: 50 }), json: text }), { maxLength: 5 });
const where = fc.dictionary(fc.string({ maxLength: 20 }), fc.oneof(text, fc.double({ noNaN: true, noDefaultInfinity: true }), fc.boolean(), fc.constant(null)));
const asked: fc.Arbitrary<readonly [EntityKind, object]> = fc.oneof(
  fc.record({ entity: fc.constant('Note'), items }).map((params) => ['db.persist', params] as const),
  fc.record({ entity: fc.constant('Note'), where, countMax: fc.constant(1000) }).map((params) => ['db.query', params] as const),
);

describe('a request for entities', () => {
  test('has no longer a record than it says', () => {
    fc.assert(
      fc.property(asked, ([kind, params]) => {
        const request = ask(kind, params);
        if (request.type !== 'request') throw new Error(request.message);
        expect(chars(request)).toBeLessThanOrEqual(request.chars);
      }),
    );
  });

  test('that may be too long is measured, and refused only if it is', () => {
    const one = (length: number) => ({ entity: 'Note', items: [0, 1].map((i) => ({ id: `n${i}`, json: 'x'.repeat(i === 0 ? 500_000 : length) })) });
    const fitting = ask('db.persist', one(recordValueCharsMax - 500_000 - 1_000));
    expect(fitting.type === 'request' && [chars(fitting) === fitting.chars, fitting.chars <= recordValueCharsMax]).toEqual([true, true]);
    expect(ask('db.persist', one(recordValueCharsMax - 500_000))).toMatchObject({ type: 'refused', code: 'OPERATION_INVALID', message: expect.stringMatching(/^the request is \d+ characters long; at most/) });
  });
});
