-- Certificate chains of virtual nodes stand beside those of the cluster. `holder` is `cluster` or a virtual node's short hash.
alter table config.certificate add column holder text not null default 'cluster';
alter table config.certificate drop constraint certificate_pkey;
alter table config.certificate add primary key (usage, holder, alias);
