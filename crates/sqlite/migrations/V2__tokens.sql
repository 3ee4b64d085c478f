-- Access tokens: who may do what in which namespaces, for servers to ask. Of a secret only its SHA-256 is kept.
-- Those that were revoked stay: somebody acted under their names.

create table tokens (
    -- The order in which they were made.
    no integer primary key,
    hash blob not null unique,
    name text not null,
    role text not null check (role = 'reader' or role = 'worker' or role = 'operator' or role = 'admin'),
    namespaces text not null,
    created_at integer not null,
    created_by text not null,
    expires_at integer,
    revoked_at integer,
    revoked_by text
) strict;

-- A name is free when its token is revoked. One that expired is revoked when its name is given to another.
create unique index tokens_by_name on tokens (name) where revoked_at is null;

-- The version of all tokens: whoever knows it need not read them again.
insert into meta (key, value) values ('tokens', '0');

create trigger tokens_keep_what_they_are before update on tokens
when new.no is not old.no or new.hash is not old.hash or new.name is not old.name or new.role is not old.role
    or new.namespaces is not old.namespaces or new.created_at is not old.created_at
    or new.created_by is not old.created_by or new.expires_at is not old.expires_at
begin
    select raise(abort, 'tenure: a token does not change; revoke it and make another');
end;

create trigger tokens_stay_revoked before update on tokens
when old.revoked_at is not null
begin
    select raise(abort, 'tenure: a token that was revoked stays so');
end;

create trigger tokens_stay before delete on tokens
begin
    select raise(abort, 'tenure: a token is not deleted; revoke it');
end;

create trigger tokens_are_not_replaced before insert on tokens
when exists (select 1 from tokens where no = new.no)
    or exists (select 1 from tokens where hash = new.hash)
    or (new.revoked_at is null and exists (select 1 from tokens where name = new.name and revoked_at is null))
begin
    select raise(abort, 'tenure: a token is not replaced');
end;
