/** Rows of the crypto room's tables, and the values they are read as. */
import type { Association, Certificate, WrappedSigningKey, WrappedWrappingKey } from './crypto-tx.ts';
import type { Sql } from './postgres-tenants.ts';

export type AssociationRow = { category: Association['category']; id: string; wrapping_alias: string; created_at: Date };
export type WrappingKeyRow = { alias: string; generation: number; parent: string; material: Uint8Array; created_at: Date };
export type SigningKeyRow = {
  id: string;
  alias: string;
  category: WrappedSigningKey['category'];
  scheme: WrappedSigningKey['scheme'];
  public_key: Uint8Array;
  wrapping_alias: string;
  wrapping_generation: number;
  material: Uint8Array;
  created_at: Date;
};
export type CertificateRow = { alias: string; generation: number; key_id: string; host_names: string[]; not_after: Date; pem: string; created_at: Date };

export const associationOf = (tenant: string, row: AssociationRow): Association => ({
  tenant,
  category: row.category,
  id: row.id,
  wrappingAlias: row.wrapping_alias,
  createdAt: row.created_at.getTime(),
});

export const wrappingKeyOf = (tenant: string, { alias, generation, parent, material, created_at }: WrappingKeyRow): WrappedWrappingKey => ({
  tenant,
  alias,
  generation,
  parent,
  material: new Uint8Array(material),
  createdAt: created_at.getTime(),
});

export const signingKeyOf = (tenant: string, row: SigningKeyRow): WrappedSigningKey => ({
  tenant,
  id: row.id,
  alias: row.alias,
  category: row.category,
  scheme: row.scheme,
  publicKey: new Uint8Array(row.public_key),
  wrappingAlias: row.wrapping_alias,
  wrappingGeneration: row.wrapping_generation,
  material: new Uint8Array(row.material),
  createdAt: row.created_at.getTime(),
});

export const certificateOf = (row: CertificateRow): Certificate => ({
  alias: row.alias,
  generation: row.generation,
  keyId: row.key_id,
  hostNames: row.host_names,
  notAfter: row.not_after.getTime(),
  pem: row.pem,
  createdAt: row.created_at.getTime(),
});

/** As text: the driver takes an array of dates for a single one. */
export const createdTexts = (rows: readonly { readonly createdAt: number }[]): string[] => rows.map(({ createdAt }) => new Date(createdAt).toISOString());

export const signingKeyColumns = (sql: Sql) => sql`id, alias, category, scheme, public_key, wrapping_alias, wrapping_generation, material, created_at`;
