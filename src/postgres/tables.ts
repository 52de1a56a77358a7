/** The tables behind the shell's stores, as text for migrations. Once applied, a text is never edited: a change is a new migration. */
import { schemaName } from './statement.ts';

const parkedTable = (schema: string): string => `
-- Records that could not be handled. Texts from outside are JSON strings, since PostgreSQL's text holds no NUL.
create table if not exists ${schema}.parked (
  id text primary key,
  topic text not null,
  partition integer not null,
  "offset" bigint not null,
  key text not null,
  value text not null,
  reason text not null,
  parked_at bigint not null
);
create index if not exists parked_newest on ${schema}.parked (parked_at desc);
`;

/**
 * A machine room's tables. JSON is kept as text: it is only ever read whole, and text costs half of jsonb to write. It is not
 * compressed either (storage external): that would take longer than writing it.
 */
export const stateTablesSql = (schema: string): string => {
  const name = schemaName(schema);
  return `create schema if not exists ${name};

-- One row a key. A head of null is a tombstone. due_at in milliseconds since the epoch. An update that changes no column of an
-- index writes no index (if its page has room, hence the fill factor): so nothing that changes at each step stands in one.
create table ${name}.state (
  key text collate "C" primary key,
  version bigint not null,
  due_at bigint,
  scope text,
  status text not null,
  born_at timestamptz not null,
  removed_at timestamptz,
  -- The newest items, while they are short: [position, value], … The others are in the table of items, if items_apart says so.
  items_apart boolean not null default false,
  handled text not null,
  owed text not null,
  head text,
  tail text not null default ''
) with (fillfactor = 70, toast_tuple_target = 8160, autovacuum_vacuum_scale_factor = 0.05);
alter table ${name}.state alter head set storage external, alter handled set storage external, alter owed set storage external, alter tail set storage external;
create index state_due on ${name}.state (due_at, key) where due_at is not null;
create index state_scope on ${name}.state (scope, status, born_at desc) where scope is not null;
create index state_removed on ${name}.state (removed_at) where removed_at is not null;

create table ${name}.item (
  key text collate "C" not null,
  position bigint not null,
  value text not null,
  primary key (key, position)
) with (toast_tuple_target = 8160, autovacuum_vacuum_scale_factor = 0.05);
alter table ${name}.item alter value set storage external;
${parkedTable(name)}`;
};

/** The tables of a room that stores answers. */
export const answerTablesSql = (schema: string): string => {
  const name = schemaName(schema);
  return `create schema if not exists ${name};

create table ${name}.answer (
  request_id text collate "C" primary key,
  outcome text not null,
  effects text,
  digest text collate "C",
  created_at timestamptz not null default now()
);
alter table ${name}.answer alter outcome set storage external, alter effects set storage external;
create index answer_oldest on ${name}.answer (created_at);
${parkedTable(name)}`;
};
