-- Takes away what `config.create_virtual_node_schemas` and `crypto.create_tenant` made for a virtual node: its schemas with all that is
-- in them, and their roles. Idempotent, since a deletion that was broken off goes on where it was.

create function config.drop_virtual_node_schema(schema_name text) returns void
language plpgsql as $$
declare
  role_name text;
begin
  execute format('drop schema if exists %I cascade', schema_name);
  foreach role_name in array array[config.role_of(schema_name, 'dml'), config.role_of(schema_name, 'ddl')] loop
    if exists (select from pg_catalog.pg_roles where rolname = role_name) then
      -- What is left of it are privileges by default and memberships; to take them away one must be it.
      execute format('grant %I to current_user with inherit true', role_name);
      execute format('drop owned by %I', role_name);
      execute format('drop role %I', role_name);
    end if;
  end loop;
end
$$;

create function config.drop_virtual_node(short_hash text) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  if short_hash !~ '^[0-9A-F]{12}$' then
    raise exception 'a short hash is 12 hex digits, not "%"', short_hash using errcode = 'invalid_parameter_value';
  end if;
  perform pg_advisory_xact_lock(hashtextextended('config.create_virtual_node_schemas', 0));
  perform pg_advisory_xact_lock(hashtextextended('crypto.create_tenant', 0));
  perform config.drop_virtual_node_schema('vnode_vault_' || lower(short_hash));
  perform config.drop_virtual_node_schema('vnode_uniq_' || lower(short_hash));
  perform config.drop_virtual_node_schema('vnode_crypto_' || lower(short_hash));
end
$$;

revoke all on function config.drop_virtual_node_schema(text), config.drop_virtual_node(text) from public;
