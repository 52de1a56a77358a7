-- Private keys, wrapped, and what belongs to them. The cluster's own keys (tenant `p2p`) are in schema `crypto`, a virtual node's
-- in `vnode_crypto_<short hash>`. A tenant's schema may be older than its virtual node, since a static network needs its members'
-- keys first: whoever comes first, crypto or db, makes it with `crypto.create_tenant`.
--
-- Each tenant has a role that owns its schema (`ddl`) and one that may read and add rows (`dml`); no role of a tenant changes or
-- removes a key. All `dml` roles are granted to `crypto_worker`, which inherits none of them: the crypto worker takes one on
-- inside a transaction (SET LOCAL ROLE), and what is not a member of `crypto_worker` reads no key at all.

create schema if not exists crypto;

-- Roles belong to the whole server, schemas to one database: the digest keeps two clusters on one server apart.
create function crypto.role_of(schema_name text, kind text) returns text
language sql stable as $$
  select schema_name || '_' || kind || '_' || substr(md5(current_database()), 1, 8)
$$;

create function crypto.ensure_role(role_name text) returns void
language plpgsql as $$
begin
  if not exists (select from pg_catalog.pg_roles where rolname = role_name) then
    execute format('create role %I nologin noinherit', role_name);
  end if;
end
$$;

do $$
declare
  worker text := crypto.role_of('crypto', 'worker');
begin
  perform crypto.ensure_role(worker);
  execute format('grant %I to current_user', worker);
  execute format('grant usage on schema crypto to %I', worker);
end
$$;

-- `material` is a 12-byte nonce, the ciphertext and its 16-byte tag (AES-256-GCM), of `encoding_version` 1. Wrapping keys are sealed
-- by the root key named `parent`, signing keys (PKCS#8) by the wrapping key they name.
create function crypto.create_tenant_tables(schema_name text) returns void
language plpgsql as $$
begin
  execute format('create table %I.wrapping_key (
    alias text not null,
    generation integer not null check (generation > 0),
    parent text not null,
    encoding_version integer not null,
    material bytea not null,
    created_at timestamptz not null,
    primary key (alias, generation)
  )', schema_name);
  execute format('create table %I.hsm_association (
    category text primary key,
    id uuid not null,
    wrapping_alias text not null,
    created_at timestamptz not null
  )', schema_name);
  execute format('create table %1$I.signing_key (
    id text primary key check (id ~ ''^[0-9A-F]{12}$''),
    alias text not null unique,
    category text not null,
    scheme text not null,
    public_key bytea not null,
    wrapping_alias text not null,
    wrapping_generation integer not null,
    encoding_version integer not null,
    material bytea not null,
    created_at timestamptz not null,
    foreign key (wrapping_alias, wrapping_generation) references %1$I.wrapping_key (alias, generation)
  )', schema_name);
end
$$;

-- Idempotent. Runs with the rights of whoever applied the migrations, so that its callers need not be able to make roles.
create function crypto.create_tenant(id text) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  schema_name text := case when id = 'p2p' then 'crypto' else 'vnode_crypto_' || lower(id) end;
  ddl text := crypto.role_of(schema_name, 'ddl');
  dml text := crypto.role_of(schema_name, 'dml');
  tables text[] := array['wrapping_key', 'hsm_association', 'signing_key'];
  table_name text;
begin
  if id !~ '^(p2p|[0-9A-Fa-f]{12})$' then
    raise exception 'a tenant is p2p or 12 hex digits, not "%"', id using errcode = 'invalid_parameter_value';
  end if;
  -- One at a time: two that make the same tenant, or grant the same role, would fail each other.
  perform pg_advisory_xact_lock(hashtextextended('crypto.create_tenant', 0));
  if exists (select from pg_tables where pg_tables.schemaname = schema_name and pg_tables.tablename = 'signing_key') then
    return;
  end if;
  perform crypto.ensure_role(dml);
  execute format('grant %I to %I', dml, crypto.role_of('crypto', 'worker'));
  if id <> 'p2p' then
    perform crypto.ensure_role(ddl);
    execute format('grant %I to current_user', ddl);
    execute format('create schema if not exists %I authorization %I', schema_name, ddl);
  end if;
  perform crypto.create_tenant_tables(schema_name);
  execute format('grant usage on schema %I to %I', schema_name, dml);
  foreach table_name in array tables loop
    execute format('grant select, insert on %I.%I to %I', schema_name, table_name, dml);
    if id <> 'p2p' then
      execute format('alter table %I.%I owner to %I', schema_name, table_name, ddl);
    end if;
  end loop;
end
$$;

revoke all on function crypto.ensure_role(text), crypto.create_tenant_tables(text), crypto.create_tenant(text) from public;

select crypto.create_tenant('p2p');

-- Certificates that crypto made for keys of `p2p`; db keeps what operators see. A new generation names more hosts or lasts longer.
create table crypto.certificate (
  alias text not null,
  generation integer not null check (generation > 0),
  key_id text not null references crypto.signing_key (id),
  host_names text[] not null,
  not_after timestamptz not null,
  pem text not null,
  created_at timestamptz not null,
  primary key (alias, generation)
);

do $$
begin
  execute format('grant execute on function crypto.create_tenant(text) to %I', crypto.role_of('crypto', 'worker'));
  execute format('grant select, insert on crypto.certificate to %I', crypto.role_of('crypto', 'dml'));
end
$$;
