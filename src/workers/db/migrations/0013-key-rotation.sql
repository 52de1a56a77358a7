-- Rotation of wrapping keys. No role of a tenant changes or removes a key; what a rotation must do it does by these functions, which run
-- with the rights of whoever applied the migrations and can do nothing else: seal a key anew where it is still sealed as was believed, and
-- remove wrapping keys that seal nothing.

-- The latest rotation of a tenant, or of the root key (`master`). `root` names the root key that its new seals are by.
create table crypto.rotation (
  tenant text primary key,
  request_id text not null,
  root text not null,
  initiated_at timestamptz not null,
  updated_at timestamptz not null,
  finished_at timestamptz
);
-- What is rotated, and how far: of `master` by tenant, else by alias of the wrapping key.
create table crypto.rotation_part (
  tenant text not null references crypto.rotation (tenant) on delete cascade,
  name text not null,
  total integer not null,
  rotated integer not null,
  primary key (tenant, name)
);
create index rotation_part_open on crypto.rotation_part (tenant, name) where rotated < total;

create function crypto.schema_of(tenant text) returns text
language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
begin
  if tenant !~ '^(p2p|[0-9A-F]{12})$' then
    raise exception 'a tenant is p2p or 12 hex digits, not "%"', tenant using errcode = 'invalid_parameter_value';
  end if;
  return case when tenant = 'p2p' then 'crypto' else 'vnode_crypto_' || lower(tenant) end;
end
$$;

-- Holds a wrapping key until the transaction ends: it is not removed while a new key is sealed by it. False where it is gone already.
create function crypto.hold_wrapping_key(tenant text, key_alias text, key_generation integer) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  held boolean;
begin
  execute format('select true from %I.wrapping_key where alias = $1 and generation = $2 for key share', crypto.schema_of(tenant))
    into held using key_alias, key_generation;
  return coalesce(held, false);
end
$$;

-- Seals a wrapping key by another root key. False where somebody else has done so, or it is gone.
create function crypto.rewrap_wrapping_key(tenant text, key_alias text, key_generation integer, parent_before text, parent_after text, sealed bytea) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  changed integer;
begin
  execute format('update %I.wrapping_key set parent = $1, material = $2 where alias = $3 and generation = $4 and parent = $5', crypto.schema_of(tenant))
    using parent_after, sealed, key_alias, key_generation, parent_before;
  get diagnostics changed = row_count;
  return changed = 1;
end
$$;

-- Seals a private key by a later generation of its wrapping key. False where somebody else has done so.
create function crypto.rewrap_signing_key(tenant text, key_id text, generation_before integer, generation_after integer, sealed bytea) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  changed integer;
begin
  if generation_after <= generation_before then
    raise exception 'a rotation goes forward, not from % to %', generation_before, generation_after using errcode = 'invalid_parameter_value';
  end if;
  execute format('update %I.signing_key set wrapping_generation = $1, material = $2 where id = $3 and wrapping_generation = $4', crypto.schema_of(tenant))
    using generation_after, sealed, key_id, generation_before;
  get diagnostics changed = row_count;
  return changed = 1;
end
$$;

-- Removes the generations before this one. False where a key is still sealed by one of them: one that was made meanwhile.
create function crypto.drop_wrapping_keys(tenant text, key_alias text, before_generation integer) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  execute format('delete from %I.wrapping_key where alias = $1 and generation < $2', crypto.schema_of(tenant)) using key_alias, before_generation;
  return true;
exception when foreign_key_violation then
  return false;
end
$$;

revoke all on function crypto.hold_wrapping_key(text, text, integer), crypto.rewrap_wrapping_key(text, text, integer, text, text, bytea),
  crypto.rewrap_signing_key(text, text, integer, integer, bytea), crypto.drop_wrapping_keys(text, text, integer) from public;

do $$
declare
  worker text := crypto.role_of('crypto', 'worker');
begin
  execute format('grant execute on function crypto.hold_wrapping_key(text, text, integer), crypto.rewrap_wrapping_key(text, text, integer, text, text, bytea),
    crypto.rewrap_signing_key(text, text, integer, integer, bytea), crypto.drop_wrapping_keys(text, text, integer), crypto.schema_of(text) to %I', worker);
  execute format('grant select, insert, update, delete on crypto.rotation, crypto.rotation_part to %I', worker);
end
$$;
