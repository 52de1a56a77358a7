-- The configuration that operators set, and who changed what. Read and written by db alone; others hear `db-to-all.config`.

-- `source` is JSON text as it was given: it is shown again to who asks. Secrets in it are encrypted.
create table config.section (
  name text primary key,
  version integer not null check (version > 0),
  schema_major integer not null,
  schema_minor integer not null,
  source text not null,
  updated_at timestamptz not null
);

-- Changes of users, roles, permissions and configuration, done and refused. Rows are added in the transaction of the change and never changed.
create table rbac.audit (
  id bigint generated always as identity primary key,
  at timestamptz not null,
  actor text not null,
  -- Such as `user.create`.
  action text not null,
  -- Whom or what it was done to.
  target text not null,
  -- `done`, or the code of the refusal.
  outcome text not null,
  details text not null
);
create index audit_actor on rbac.audit (actor, id);
create index audit_target on rbac.audit (target, id);
