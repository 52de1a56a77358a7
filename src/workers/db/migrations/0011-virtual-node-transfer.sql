-- Pieces of exports and imports of virtual nodes, while they are on their way. Only db reads and writes them.

create table config.transfer (
  id uuid primary key,
  touched_at timestamptz not null
);
create index transfer_touched on config.transfer (touched_at);

create table config.transfer_piece (
  transfer_id uuid not null references config.transfer (id) on delete cascade,
  index integer not null,
  text text not null,
  primary key (transfer_id, index)
);
alter table config.transfer_piece alter column text set storage external;
