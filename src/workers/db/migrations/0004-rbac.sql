-- Users that may call REST. The password is kept as scrypt's output with the costs it was made with.

create schema if not exists rbac;

create table rbac.account (
  login text primary key,
  full_name text not null,
  enabled boolean not null,
  password json not null,
  updated_at timestamptz not null
);
