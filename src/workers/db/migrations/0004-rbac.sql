-- Who may call REST, and what: users, roles, permissions. Read and written by db alone; rest hears them on compacted wires.

create schema if not exists rbac;

create table rbac.account (
  id uuid primary key,
  -- In lower case.
  login text not null unique,
  full_name text not null,
  enabled boolean not null,
  -- scrypt's output with the costs it was made with; null for who logs in with tokens alone.
  password json,
  password_expiry timestamptz,
  parent_group uuid,
  version integer not null,
  updated_at timestamptz not null
);

-- The password that the environment last gave a bootstrap administrator: one that it chose itself is not undone by a restart.
create table rbac.bootstrap_password (
  login text primary key,
  password json not null
);

create table rbac.role (
  id uuid primary key,
  name text not null,
  group_visibility uuid,
  version integer not null,
  updated_at timestamptz not null,
  unique nulls not distinct (name, group_visibility)
);

create table rbac.permission (
  id uuid primary key,
  type text not null check (type in ('ALLOW', 'DENY')),
  text text not null,
  virtual_node text,
  group_visibility uuid,
  version integer not null,
  updated_at timestamptz not null
);

create table rbac.role_permission (
  role_id uuid not null references rbac.role (id),
  permission_id uuid not null references rbac.permission (id),
  since timestamptz not null,
  primary key (role_id, permission_id)
);

create table rbac.account_role (
  account_id uuid not null references rbac.account (id) on delete cascade,
  role_id uuid not null references rbac.role (id),
  since timestamptz not null,
  primary key (account_id, role_id)
);
