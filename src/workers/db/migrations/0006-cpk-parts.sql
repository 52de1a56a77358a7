-- What a CPK carries beside its bundle: the source map, for errors that name the author's lines, and the schema of what it keeps in
-- vaults. Either may be absent.

alter table config.cpk add column source_map bytea;
alter table config.cpk add column schema json;
-- As for the code.
alter table config.cpk alter column source_map set storage external;
