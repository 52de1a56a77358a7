-- Who may touch what in this database. Each room has a role, `cordage_<room>_<digest>`, with the schemas that the room owns and no others:
--
--   | room         | reads and writes                      | takes on, inside a transaction                  |
--   |--------------|---------------------------------------|-------------------------------------------------|
--   | flow         | flow                                  |                                                 |
--   | link_manager | link_manager                          |                                                 |
--   | member       | member                                |                                                 |
--   | db           | db, config, rbac                      | a virtual node's `ddl` and `dml` roles          |
--   | crypto       | crypto.answer, .parked, .rotation*    | a tenant's `dml` role, which reads and adds keys |
--
-- Rest and gateway have none. Logins are members of one of these roles (`migrations.grant_room`); they own nothing and make no roles: where a
-- room must make schemas at run time, it calls a function of config or crypto that has its owner's rights (security definer).
--
-- A new table in a schema above needs nothing here. This file is applied after all migrations, whenever one of them or it itself is new.

-- Roles belong to the whole server, schemas to one database: the digest keeps two clusters on one server apart.
create or replace function migrations.role_of(room text) returns text
language sql stable as $$
  select 'cordage_' || room || '_' || substr(md5(current_database()), 1, 8)
$$;

create or replace function migrations.rooms() returns text[]
language sql immutable as $$
  select array['flow', 'db', 'crypto', 'member', 'link_manager']
$$;

-- Makes a login one of this room and of no other.
create or replace function migrations.grant_room(login text, room text) returns void
language plpgsql as $$
declare
  other text;
begin
  foreach other in array migrations.rooms() loop
    if other <> room and pg_has_role(login, migrations.role_of(other), 'member') then
      execute format('revoke %I from %I', migrations.role_of(other), login);
    end if;
  end loop;
  execute format('grant %I to %I', migrations.role_of(room), login);
end
$$;

do $$
declare
  room text;
  room_role text;
  owned text;
begin
  -- Who is not of this cluster does not come in, nor does a room keep tables of its own.
  execute format('revoke connect, temporary on database %I from public', current_database());
  revoke create on schema public from public;
  foreach room in array migrations.rooms() loop
    room_role := migrations.role_of(room);
    if not exists (select from pg_catalog.pg_roles where rolname = room_role) then
      -- It does not inherit what it may take on.
      execute format('create role %I nologin noinherit', room_role);
    end if;
    execute format('grant connect on database %I to %I', current_database(), room_role);
    execute format('grant usage on schema migrations to %I', room_role);
    execute format('grant select on migrations.applied to %I', room_role);
    foreach owned in array case room when 'db' then array['db', 'config', 'rbac'] when 'crypto' then array[]::text[] else array[room] end loop
      execute format('grant usage on schema %I to %I', owned, room_role);
      execute format('grant select, insert, update, delete on all tables in schema %I to %I', owned, room_role);
      execute format('grant usage on all sequences in schema %I to %I', owned, room_role);
      execute format('revoke execute on all functions in schema %I from public', owned);
      execute format('grant execute on all functions in schema %I to %I', owned, room_role);
    end loop;
  end loop;
end
$$;

-- Keys are read under a tenant's role alone. A tenant is made by whoever comes first, crypto or db.
do $$
declare
  crypto_role text := migrations.role_of('crypto');
  db_role text := migrations.role_of('db');
begin
  execute format('grant %I to %I', crypto.role_of('crypto', 'worker'), crypto_role);
  execute format('grant usage on schema crypto to %I, %I', crypto_role, db_role);
  execute format('grant execute on function crypto.create_tenant(text) to %I, %I', crypto_role, db_role);
  execute format('grant select, insert, update, delete on crypto.answer, crypto.parked, crypto.rotation, crypto.rotation_part to %I', crypto_role);
  -- The few changes of keys that a rotation makes.
  execute format('grant execute on function crypto.schema_of(text), crypto.hold_wrapping_key(text, text, integer),
    crypto.rewrap_wrapping_key(text, text, integer, text, text, bytea), crypto.rewrap_signing_key(text, text, integer, integer, bytea),
    crypto.drop_wrapping_keys(text, text, integer) to %I', crypto_role);
end
$$;

-- Virtual nodes of before.
do $$
declare
  found text;
begin
  for found in
    select rolname from pg_catalog.pg_namespace
    join pg_catalog.pg_roles on rolname in (config.role_of(nspname, 'ddl'), config.role_of(nspname, 'dml'))
    where nspname like 'vnode\_vault\_%' or nspname like 'vnode\_uniq\_%'
  loop
    execute format('grant %I to %I', found, migrations.role_of('db'));
  end loop;
end
$$;
