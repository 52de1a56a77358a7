-- Vaults in databases of their own: how they are reached. Connections are sealed to a key that db derives from a passphrase; neither the key
-- nor the passphrase is in any database.

create table config.connection_key (
  -- X25519, base64url.
  public_key text primary key,
  -- Of PBKDF2: the passphrase and this make the private key.
  salt text not null,
  created_at timestamptz not null
);

create table config.vault_connection (
  short_hash text primary key references config.virtual_node (short_hash) on delete cascade,
  -- Counts from 1: the ids of connections that are shown come of it.
  version integer not null,
  -- JSON: the key that it is sealed to, and the sealed text. `ddl` is null where an administrator changes the tables.
  dml text not null,
  ddl text,
  updated_at timestamptz not null
);

-- Of a virtual node whose vault is elsewhere, only the schema of a notary is made here.
create function config.create_uniqueness(short_hash text) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  if short_hash !~ '^[0-9A-F]{12}$' then
    raise exception 'a short hash is 12 hex digits, not "%"', short_hash using errcode = 'invalid_parameter_value';
  end if;
  perform pg_advisory_xact_lock(hashtextextended('config.create_virtual_node_schemas', 0));
  perform config.create_virtual_node_schema('vnode_uniq_' || lower(short_hash));
end
$$;

-- A vault that has moved elsewhere keeps its rows, and nobody finds them: a worker that has not heard of the move writes nothing here.
create function config.close_vault(short_hash text) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  schema_name text := 'vnode_vault_' || lower(short_hash);
begin
  if short_hash !~ '^[0-9A-F]{12}$' then
    raise exception 'a short hash is 12 hex digits, not "%"', short_hash using errcode = 'invalid_parameter_value';
  end if;
  if to_regnamespace(schema_name) is not null then
    execute format('revoke usage on schema %I from %I', schema_name, config.role_of(schema_name, 'dml'));
  end if;
end
$$;
