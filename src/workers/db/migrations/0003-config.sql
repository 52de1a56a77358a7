-- The cluster's configuration: certificates, CPI uploads, CPIs with their CPKs, virtual nodes.

create schema if not exists config;

create table config.certificate (
  usage text not null,
  alias text not null,
  pem text not null,
  updated_at timestamptz not null,
  primary key (usage, alias)
);

-- `ended_at` is null while chunks are missing. Then exactly one of `full_checksum` and `refusal` is set.
create table config.upload (
  id uuid primary key,
  chunk_count integer not null check (chunk_count > 0),
  force boolean not null,
  touched_at timestamptz not null,
  ended_at timestamptz,
  full_checksum text,
  replaced_checksum text,
  refusal json,
  check ((ended_at is null) = (full_checksum is null and refusal is null))
);
create index upload_open on config.upload (touched_at) where ended_at is null;
create index upload_ended on config.upload (ended_at) where ended_at is not null;

create table config.upload_chunk (
  upload_id uuid not null references config.upload (id) on delete cascade,
  index integer not null,
  bytes bytea not null,
  primary key (upload_id, index)
);

create table config.cpi (
  name text not null,
  version text not null,
  signer_summary_hash text not null,
  full_checksum text not null unique,
  group_id text not null,
  group_policy text not null,
  stored_at timestamptz not null,
  primary key (name, version, signer_summary_hash)
);
-- Prefix search by the first digits of the checksum, whatever the database's collation.
create index cpi_checksum_prefix on config.cpi (full_checksum text_pattern_ops);

-- Content addressed, so a CPK that several CPIs carry is stored once. `code` is the UTF-8 of its bundle.
create table config.cpk (
  hash text primary key,
  name text not null,
  version text not null,
  signer_summary_hash text not null,
  flows json not null,
  code bytea not null,
  stored_at timestamptz not null
);
-- Code is large and never compared inside the database: compressing it costs more than the space.
alter table config.cpk alter column code set storage external;

create table config.cpi_cpk (
  cpi_name text not null,
  cpi_version text not null,
  cpi_signer_summary_hash text not null,
  position integer not null,
  cpk_hash text not null references config.cpk (hash),
  primary key (cpi_name, cpi_version, cpi_signer_summary_hash, position),
  foreign key (cpi_name, cpi_version, cpi_signer_summary_hash)
    references config.cpi (name, version, signer_summary_hash) on delete cascade
);

create table config.virtual_node (
  short_hash text primary key,
  full_hash text not null unique,
  x500_name text not null,
  group_id text not null,
  cpi_name text not null,
  cpi_version text not null,
  cpi_signer_summary_hash text not null,
  flow_start_status text not null,
  flow_status text not null,
  flow_p2p_status text not null,
  vault_db_status text not null,
  -- The request id of an operation under way, and whether it is the last one.
  operation_in_progress text,
  deleting boolean not null default false,
  version integer not null,
  updated_at timestamptz not null,
  unique (group_id, x500_name),
  foreign key (cpi_name, cpi_version, cpi_signer_summary_hash) references config.cpi (name, version, signer_summary_hash)
);
create index virtual_node_cpi on config.virtual_node (cpi_name, cpi_version, cpi_signer_summary_hash);

create table config.virtual_node_operation (
  request_id text primary key,
  operation text not null,
  status text not null,
  resource_id text,
  error_reason text,
  updated_at timestamptz not null,
  message_id text not null,
  -- Of an operation that takes several rooms: how far it is, and the request whose answer it waits for.
  stage text,
  awaited text
);
