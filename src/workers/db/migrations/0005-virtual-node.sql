-- Schemas of a virtual node: `vnode_vault_<id>` for its entities, `vnode_uniq_<id>` for a notary's states. Each has a role that
-- owns it (`ddl`) and a role that may only read and write rows (`dml`). Neither can log in: the db room's role is a member of
-- both and takes one on inside a transaction (SET LOCAL ROLE), so that a statement for one virtual node cannot reach another's
-- rows, nor the cluster's own tables. What makes schemas and roles runs with the rights of whoever applied the migrations
-- (security definer), so that the db room needs neither right.

-- Roles belong to the whole server, schemas to one database: the digest keeps two clusters on one server apart.
create function config.role_of(schema_name text, kind text) returns text
language sql stable as $$
  select schema_name || '_' || kind || '_' || substr(md5(current_database()), 1, 8)
$$;

create function config.ensure_role(role_name text) returns void
language plpgsql as $$
begin
  if not exists (select from pg_catalog.pg_roles where rolname = role_name) then
    execute format('create role %I nologin', role_name);
  end if;
  execute format('grant %I to current_user', role_name);
  -- Of repeatable-roles.sql, which comes after all migrations.
  execute format('grant %I to %I', role_name, migrations.role_of('db'));
end
$$;

create function config.create_virtual_node_schema(schema_name text) returns void
language plpgsql as $$
declare
  ddl text := config.role_of(schema_name, 'ddl');
  dml text := config.role_of(schema_name, 'dml');
begin
  perform config.ensure_role(ddl);
  perform config.ensure_role(dml);
  execute format('create schema if not exists %I authorization %I', schema_name, ddl);
  execute format('grant usage on schema %I to %I', schema_name, dml);
  execute format('alter default privileges for role %I in schema %I grant select, insert, update, delete on tables to %I', ddl, schema_name, dml);
end
$$;

-- `value` keeps the text as the flow wrote it; the index sees it as jsonb, and answers "top-level fields equal" by `@>`.
-- Ids sort by their bytes, so that a cursor means the same whatever the database's collation. Without fastupdate a write costs
-- more and a search does not wade through a list of pending entries (measured after 10,000 writes: 0.45 against 14 ms).
create function config.create_vault(short_hash text) returns void
language plpgsql as $$
declare
  schema_name text := 'vnode_vault_' || lower(short_hash);
begin
  perform config.create_virtual_node_schema(schema_name);
  execute format('create table if not exists %I.entity (
    entity text collate "C" not null,
    id text collate "C" not null,
    value json not null,
    version integer not null default 1,
    updated_at timestamptz not null,
    primary key (entity, id)
  )', schema_name);
  execute format('create index if not exists entity_fields on %I.entity using gin ((value::jsonb) jsonb_path_ops) with (fastupdate = off)', schema_name);
  -- The defaults above are for what `ddl` makes.
  execute format('grant select, insert, update, delete on %I.entity to %I', schema_name, config.role_of(schema_name, 'dml'));
  execute format('alter table %I.entity owner to %I', schema_name, config.role_of(schema_name, 'ddl'));
end
$$;

create function config.create_virtual_node_schemas(short_hash text) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  if short_hash !~ '^[0-9A-F]{12}$' then
    raise exception 'a short hash is 12 hex digits, not "%"', short_hash using errcode = 'invalid_parameter_value';
  end if;
  -- One at a time: two that grant roles together may fail each other.
  perform pg_advisory_xact_lock(hashtextextended('config.create_virtual_node_schemas', 0));
  perform config.create_vault(short_hash);
  perform config.create_virtual_node_schema('vnode_uniq_' || lower(short_hash));
end
$$;
