-- New entities of one vault and the answers to the requests that asked for them, in one statement: one message instead of six, which is most
-- of what a small batch costs. All or nothing: where an id or an answer is there already, or the vault is not, it gives false, and nothing was
-- written; then the batch goes the ordinary way (src/workers/db/postgres/entities.ts), which tells what was in the way.
--
-- It has no rights of its own: entities are written as the vault's `dml` role, which the caller must be able to take on, and with no
-- schema in sight but the vault; answers as the caller. Both settings end with the transaction.
create function db.persist_at_once(vault text, entities text[], ids text[], json_values text[], updated_at timestamptz,
  request_ids text[], outcomes text[], effects text[], digests text[]) returns boolean
language plpgsql as $$
begin
  perform set_config('search_path', vault, true), set_config('role', config.role_of(vault, 'dml'), true);
  -- In order, so that two batches with the same ids rarely wait for each other crosswise.
  insert into entity (entity, id, value, updated_at)
  select given.entity, given.id, given.value::json, persist_at_once.updated_at from unnest(entities, ids, json_values) as given (entity, id, value)
  order by given.entity, given.id;
  -- Another path than the vault's, so that the plan below serves every vault.
  perform set_config('role', 'none', true), set_config('search_path', 'pg_catalog', true);
  insert into db.answer (request_id, outcome, effects, digest) select * from unnest(request_ids, outcomes, effects, digests);
  return true;
-- Of a virtual node that was deleted meanwhile, neither role nor table is there. What the block has set is as it was before.
exception when unique_violation or undefined_table or invalid_parameter_value then
  return false;
end
$$;
