-- Access tokens: who may do what in which namespaces, for servers to ask. Of a secret only its SHA-256 is kept.
-- Those that were revoked stay: somebody acted under their names.

create table tenure.tokens (
    hash bytea not null primary key,
    -- The order in which they were made.
    no bigint generated always as identity,
    name text collate "C" not null,
    role text not null check (role in ('reader', 'worker', 'operator', 'admin')),
    namespaces text not null,
    created_at bigint not null,
    created_by text not null,
    expires_at bigint,
    revoked_at bigint,
    revoked_by text
);

-- A name is free when its token is revoked. One that expired is revoked when its name is given to another.
create unique index tokens_by_name on tenure.tokens (name) where revoked_at is null;

-- The version of all tokens: whoever knows it need not read them again. Whoever changes one locks this row.
insert into tenure.meta (key, value) values ('tokens', '0');

create function tenure.refuse_for_a_token() returns trigger language plpgsql as $$
begin
    if old.revoked_at is not null then
        raise exception 'tenure: a token that was revoked stays so' using errcode = 'TN003';
    end if;
    if new.hash <> old.hash or new.no <> old.no or new.name <> old.name or new.role <> old.role
        or new.namespaces <> old.namespaces or new.created_at <> old.created_at
        or new.created_by <> old.created_by or new.expires_at is distinct from old.expires_at then
        raise exception 'tenure: a token does not change; revoke it and make another' using errcode = 'TN003';
    end if;
    return new;
end
$$;

create trigger tokens_keep_what_they_are before update on tenure.tokens for each row
    execute function tenure.refuse_for_a_token();
create trigger tokens_stay before delete on tenure.tokens for each row
    execute function tenure.refuse('a token is not deleted; revoke it');
create trigger tokens_are_not_emptied before truncate on tenure.tokens for each statement
    execute function tenure.refuse('a token is not deleted; revoke it');
