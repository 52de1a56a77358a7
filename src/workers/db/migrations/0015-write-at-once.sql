-- Entities of one vault, new ones and merged ones, and the answers to the requests that asked for them, in one statement: one message instead
-- of six, which is most of what a small batch costs. All or nothing: where a new id or an answer is there already, or the vault is not, it
-- gives false, and nothing was written; then the batch goes the ordinary way (src/workers/db/postgres/entities.ts), which tells what was in
-- the way. An id that is merged stands there once, so that it does not matter what is written first. What there is none of is null.
--
-- It has no rights of its own: entities are written as the vault's `dml` role, which the caller must be able to take on, and with no
-- schema in sight but the vault; answers as the caller. Both settings end with the transaction.
create function db.write_entities(vault text, entities text[], ids text[], json_values text[],
  merged_entities text[], merged_ids text[], merged_json_values text[], updated_at timestamptz) returns boolean
language plpgsql as $$
declare
  -- An expression that is assigned takes microseconds less than a query whose result is dropped.
  unused text;
begin
  unused := set_config('search_path', vault, true) || set_config('role', config.role_of(vault, 'dml'), true);
  -- In order, so that two batches with the same ids rarely wait for each other crosswise.
  if ids is not null then
    insert into entity (entity, id, value, updated_at)
    select given.entity, given.id, given.value::json, write_entities.updated_at from unnest(entities, ids, json_values) as given (entity, id, value)
    order by given.entity, given.id;
  end if;
  if merged_ids is not null then
    insert into entity as kept (entity, id, value, updated_at)
    select given.entity, given.id, given.value::json, write_entities.updated_at from unnest(merged_entities, merged_ids, merged_json_values) as given (entity, id, value)
    order by given.entity, given.id
    on conflict (entity, id) do update set value = excluded.value, version = kept.version + 1, updated_at = excluded.updated_at;
  end if;
  -- Another path than the vault's, so that the plans of what follows serve every vault.
  unused := set_config('role', 'none', true) || set_config('search_path', 'pg_catalog', true);
  return true;
end
$$;

create function db.write_at_once(vault text, entities text[], ids text[], json_values text[],
  merged_entities text[], merged_ids text[], merged_json_values text[], updated_at timestamptz,
  request_ids text[], outcomes text[], effects text[], digests text[]) returns boolean
language plpgsql as $$
begin
  if db.write_entities(vault, entities, ids, json_values, merged_entities, merged_ids, merged_json_values, updated_at) then
    insert into db.answer (request_id, outcome, effects, digest) select * from unnest(request_ids, outcomes, effects, digests);
  end if;
  return true;
-- Of a virtual node that was deleted meanwhile, neither role nor table is there. What the block has set is as it was before.
exception when unique_violation or undefined_table or invalid_parameter_value then
  return false;
end
$$;
