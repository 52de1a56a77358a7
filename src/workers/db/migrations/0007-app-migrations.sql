-- Which migrations of applications a vault has: one table in each vault that needs it, owned by the vault's `ddl` role and closed to
-- its `dml` role, under which applications' queries run. Whoever opens it holds the vault's migrations until its transaction ends.

create function config.open_app_migrations(short_hash text) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  schema_name text := 'vnode_vault_' || lower(short_hash);
  ddl text := config.role_of(schema_name, 'ddl');
  dml text := config.role_of(schema_name, 'dml');
begin
  if short_hash !~ '^[0-9A-F]{12}$' then
    raise exception 'a short hash is 12 hex digits, not "%"', short_hash using errcode = 'invalid_parameter_value';
  end if;
  perform pg_advisory_xact_lock(hashtextextended('config.open_app_migrations/' || short_hash, 0));
  if to_regclass(format('%I.cordage_migration', schema_name)) is not null then
    return;
  end if;
  execute format('create table %I.cordage_migration (
    cpk_name text collate "C" not null,
    name text collate "C" not null,
    position integer not null,
    digest text not null,
    applied_at timestamptz not null,
    primary key (cpk_name, name)
  )', schema_name);
  execute format('revoke all on %I.cordage_migration from %I', schema_name, dml);
  execute format('alter table %I.cordage_migration owner to %I', schema_name, ddl);
end
$$;
