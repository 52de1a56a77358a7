/** Rotations in memory: the same contract as PostgreSQL's. */
import type { Rotation, RotationRepository, WrappedSigningKey, WrappedWrappingKey, WrappingRef } from './crypto-tx.ts';

type Tables = {
  readonly wrappingKeys: Map<string, WrappedWrappingKey>;
  /** By tenant and id. */
  readonly signingKeys: Map<string, WrappedSigningKey>;
  /** By tenant. */
  readonly rotations: Map<string, Rotation>;
};

export const wrappingNameOf = ({ tenant, alias, generation }: WrappingRef): string => `${tenant}/${alias}/${generation}`;

const byName = (one: { readonly name: string }, other: { readonly name: string }): number => (one.name < other.name ? -1 : 1);

export const memoryRotationOver = ({ wrappingKeys, signingKeys, rotations }: Tables): RotationRepository => {
  const sealedBefore = ({ tenant, alias, generation }: WrappingRef): WrappedSigningKey[] =>
    [...signingKeys.values()].filter((key) => key.tenant === tenant && key.wrappingAlias === alias && key.wrappingGeneration < generation).sort((one, other) => (one.id < other.id ? -1 : 1));
  return {
    find: async (tenant) => rotations.get(tenant),
    begin: async (rotation) => {
      const last = rotations.get(rotation.tenant);
      if (last !== undefined && last.finishedAt === undefined) return false;
      rotations.set(rotation.tenant, { ...rotation, parts: rotation.parts.toSorted(byName) });
      return true;
    },
    openParts: async (tenant, countMax) => (rotations.get(tenant)?.parts ?? []).filter(({ rotated, total }) => rotated < total).slice(0, countMax),
    note: async (tenant, parts, updatedAt, finishedAt) => {
      const rotation = rotations.get(tenant);
      if (rotation === undefined) return;
      const noted = new Map([...rotation.parts, ...parts].map((part) => [part.name, part]));
      rotations.set(tenant, { ...rotation, parts: [...noted.values()].sort(byName), updatedAt, finishedAt });
    },
    tenants: async () => [...new Set(['p2p', ...[...wrappingKeys.values()].map(({ tenant }) => tenant).sort()])],
    rewrapWrappingKeys: async (keys) => {
      for (const { parentBefore, ...key } of keys) if (wrappingKeys.get(wrappingNameOf(key))?.parent === parentBefore) wrappingKeys.set(wrappingNameOf(key), key);
    },
    keysBefore: async (ref, countMax) => {
      const keys = sealedBefore(ref);
      return { count: keys.length, first: keys.slice(0, countMax) };
    },
    rewrapSigningKeys: async (keys) => {
      for (const { generationBefore, ...key } of keys) {
        const name = `${key.tenant}/${key.id}`;
        if (signingKeys.get(name)?.wrappingGeneration === generationBefore) signingKeys.set(name, key);
      }
    },
    dropBefore: async (ref) => {
      if (sealedBefore(ref).length > 0) return false;
      for (const [name, row] of wrappingKeys) if (row.tenant === ref.tenant && row.alias === ref.alias && row.generation < ref.generation) wrappingKeys.delete(name);
      return true;
    },
  };
};
