-- The intake: tasks that programs ask for inside transactions of their own, by calling `tenure.create_task`.
-- The row and the names in it are part of that transaction, so the task exists if and only if it commits. A
-- committer makes the task afterwards, by the same rules as any other, and takes the row away. By then nobody
-- is there to be told "no", so what is over a limit is refused here. These are limits of values, and no rule
-- of a task's life. A program needs usage of the schema and execute on `create_task`; no right on a table.

-- Limits count bytes and characters of UTF-8, and nothing else could be read back.
do $$
begin
    if getdatabaseencoding() <> 'UTF8' then
        raise exception 'tenure: the database is encoded in %; make one with encoding ''UTF8''',
            getdatabaseencoding() using errcode = 'feature_not_supported';
    end if;
end
$$;

-- Nearly always empty, while rows come and go: so vacuum counts rows and not shares of what is there.
create table tenure.intake (
    namespace text collate "C" not null,
    id text collate "C" not null,
    queue text collate "C" not null,
    actor text not null,
    -- The task to create, as public JSON.
    record text not null,
    -- Why a committer could not make it. That never happens to what the function below let in.
    problem text,
    at timestamptz not null default clock_timestamp(),
    primary key (namespace, id)
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000,
    autovacuum_vacuum_insert_threshold = -1, autovacuum_analyze_scale_factor = 0,
    autovacuum_analyze_threshold = 10000);

create trigger intake_stays_as_written before update on tenure.intake for each row
    when (new.namespace <> old.namespace or new.id <> old.id or new.queue <> old.queue
        or new.actor <> old.actor or new.record <> old.record or new.at <> old.at)
    execute function tenure.refuse('what was asked for does not change');
create trigger intake_is_not_emptied before truncate on tenure.intake for each statement
    execute function tenure.refuse('what was asked for is not dropped');

-- Checks of values. What has a backslash in it is written as E'': where a caller has turned
-- standard_conforming_strings off, a plain literal means something else.

create function tenure.must_be(field text, fine boolean, takes text) returns void language plpgsql as $$
begin
    if fine is not true then
        raise exception 'tenure: %: %', field, takes
            using errcode = 'invalid_parameter_value', column = field;
    end if;
end
$$;

create function tenure.is_id(given text) returns boolean language sql immutable as $$
    select octet_length(given) between 1 and 200 and given not in ('.', '..')
        and given collate "C" !~ '[^A-Za-z0-9_.:@+-]'
$$;

create function tenure.is_name(given text) returns boolean language sql immutable as $$
    select octet_length(given) between 1 and 200 and given not in ('.', '..')
        and given collate "C" !~ '[^A-Za-z0-9_.:@+/-]'
$$;

create function tenure.must_be_id(field text, given text) returns void language plpgsql as $$
begin
    perform tenure.must_be(field, tenure.is_id(given), '1 to 200 of A-Z a-z 0-9 - _ . : @ +, not . or ..');
end
$$;

create function tenure.must_be_name(field text, given text) returns void language plpgsql as $$
begin
    perform tenure.must_be(field, tenure.is_name(given),
        '1 to 200 of A-Z a-z 0-9 - _ . : @ + /, not . or ..');
end
$$;

-- A length as people write it, in microseconds; null if it is none. More than 18 digits are over every limit.
create function tenure.micros(given text) returns numeric language sql immutable as $$
    select substring(given collate "C" from '^0*([0-9]{1,18})(?:us|ms|s|m|h|d)$')::numeric
        * case substring(given collate "C" from '[a-z]*$') when 'us' then 1 when 'ms' then 1000
            when 's' then 1000000 when 'm' then 60000000 when 'h' then 3600000000 when 'd' then 86400000000 end
$$;

-- Why JSON can't be read back; null if it can. The type `json` lets through what a reader would lose or choke
-- on, and `jsonb` would lose keys and digits itself. Canonical JSON is never longer than what it was made of,
-- so the length as written is what counts: what only white space and escapes make too long is refused, too.
create function tenure.json_problem(given json, bytes_max integer, levels_max integer) returns text
language plpgsql stable strict as $$
declare
    written constant text := given;
    escapes text;
    deepest integer;
    twice text;
begin
    if octet_length(written) > bytes_max then
        return format('up to %s bytes of JSON, white space included, %s given', bytes_max,
            octet_length(written));
    end if;
    if strpos(written, E'\\u') > 0 then
        -- Other escapes go first, so that the second of two backslashes begins none. Each leaves a mark, or
        -- halves of pairs that it stood between would meet.
        escapes := regexp_replace(written, E'\\\\[^u]', '.', 'g');
        if strpos(escapes, E'\\u0000') > 0 then
            return E'a text has a NUL in it; leave \\u0000 out';
        end if;
        escapes := regexp_replace(escapes,
            E'\\\\u[dD][89abAB][0-9a-fA-F]{2}\\\\u[dD][c-fC-F][0-9a-fA-F]{2}', '.', 'g');
        if escapes ~ E'\\\\u[dD][89a-fA-F]' then
            return E'a text has half a character in it; \\ud800 to \\udfff come in pairs';
        end if;
    end if;
    if strpos(written, '{') = 0 and strpos(written, '[') = 0 then
        return null;
    end if;
    with recursive container (value, level) as (
        select given, 1 where json_typeof(given) in ('object', 'array')
        union all
        select part.value, container.level + 1
        from container cross join lateral (
            select value
            from json_each(case json_typeof(container.value) when 'object' then container.value end)
            union all
            select value
            from json_array_elements(case json_typeof(container.value) when 'array' then container.value end)
        ) as part
        where container.level <= levels_max and json_typeof(part.value) in ('object', 'array')
    )
    select max(container.level), min(repeated.key) into deepest, twice
    from container left join lateral (
        select key collate "C" as key
        from json_object_keys(case json_typeof(container.value) when 'object' then container.value end) as key
        group by 1 having count(*) > 1 limit 1
    ) as repeated on true;
    if deepest > levels_max then
        return format('up to %s levels deep', levels_max);
    end if;
    if twice is not null then
        return format('each key once; %s stands twice in an object', to_json(left(twice, 100)));
    end if;
    return null;
end
$$;

create function tenure.must_be_json(field text, given json, bytes_max integer, levels_max integer)
returns void language plpgsql as $$
declare
    problem constant text := tenure.json_problem(given, bytes_max, levels_max);
begin
    perform tenure.must_be(field, problem is null, problem);
end
$$;

-- These three take null as left out, as readers of the public JSON do. They look first for what is nearly
-- always there, which is nothing. What is deeper than 3 levels is none of them, and no time is lost on it.

create function tenure.must_be_labels(labels json) returns void language plpgsql strict as $$
declare
    number bigint;
    wrong record;
begin
    if json_typeof(labels) = 'null' or labels::text = '{}' then
        return;
    end if;
    perform tenure.must_be_json('labels', labels, 262144, 3);
    perform tenure.must_be('labels', json_typeof(labels) = 'object',
        'an object of texts, such as {"issue": "168"}');
    select count(*) into number from json_object_keys(labels);
    perform tenure.must_be('labels', number <= 32, format('up to 32, %s given', number));
    select label.key, found.takes into wrong
    from json_each(labels) as label cross join lateral (values
        (tenure.is_id(label.key), 'keys of 1 to 200 of A-Z a-z 0-9 - _ . : @ +, not . or ..'),
        (json_typeof(label.value) = 'string', 'texts as values, in quotes'),
        (length(label.value #>> '{}') <= 256, 'values of up to 256 characters')
    ) as found (fine, takes)
    where found.fine is not true limit 1;
    perform tenure.must_be('labels', wrong.takes is null,
        format('%s; not so at %s', wrong.takes, to_json(left(wrong.key, 100))));
end
$$;

create function tenure.must_be_policy(policy json) returns void language plpgsql strict as $$
declare
    backoff json;
    wrong record;
begin
    if json_typeof(policy) = 'null' or policy::text = '{}' then
        return;
    end if;
    perform tenure.must_be_json('policy', policy, 262144, 3);
    perform tenure.must_be('policy', json_typeof(policy) = 'object',
        'an object, such as {"max_attempts": 3}');
    backoff := case json_typeof(policy -> 'backoff') when 'null' then null else policy -> 'backoff' end;
    perform tenure.must_be('policy.backoff', backoff is null or json_typeof(backoff) = 'object',
        'an object of base, factor and cap');
    select given.place || left(given.key, 100) as field, coalesce(known.takes,
        'there is no such field; a policy has lease_ttl, max_attempts, on_lapse, when_spent, stall_after, '
        'time_limit, start_within, lock_delay, and backoff of base, factor and cap') as takes
    into wrong
    from (
        select 'policy.' as place, key, value from json_each(policy) where key <> 'backoff'
        union all
        select 'policy.backoff.', key, value from json_each(backoff)
    ) as given left join (values
        ('policy.', 'lease_ttl', 'length', 1, 604800, 'a length of 1s to 7d, such as 90s or 5m'),
        ('policy.', 'max_attempts', 'number', 1, 4294967295, 'a whole number, 1 to 4294967295'),
        ('policy.', 'on_lapse', 'on_lapse', null, null, 'one of recover, hold, quarantine'),
        ('policy.', 'when_spent', 'when_spent', null, null, 'one of compensated, quarantined'),
        ('policy.backoff.', 'base', 'length', 0, 315360000, 'a length of up to 3650d, such as 500ms or 2s'),
        ('policy.backoff.', 'factor', 'number', 1, 100, 'a whole number, 1 to 100'),
        ('policy.backoff.', 'cap', 'length', 0, 315360000, 'a length of up to 3650d, such as 90s or 5m'),
        ('policy.', 'stall_after', 'length', 1, 315360000, 'a length of 1s to 3650d, such as 90s or 5m'),
        ('policy.', 'time_limit', 'length', 1, 315360000, 'a length of 1s to 3650d, such as 5m or 2h'),
        ('policy.', 'start_within', 'length', 1, 315360000, 'a length of 1s to 3650d, such as 2h or 1d'),
        ('policy.', 'lock_delay', 'length', 0, 315360000, 'a length of up to 3650d, such as 500ms or 2s')
    ) as known (place, key, shape, least, most, takes) on known.place = given.place and known.key = given.key
    -- Nothing but a text reads as a length or a word, and nothing but a number as digits without quotes.
    where known.key is null or json_typeof(given.value) <> 'null' and case known.shape
        when 'length' then
            tenure.micros(given.value #>> '{}') between known.least * 1000000 and known.most * 1000000
        when 'number' then
            substring(given.value::text from '^[0-9]{1,10}$')::bigint between known.least and known.most
        when 'on_lapse' then given.value #>> '{}' in ('recover', 'hold', 'quarantine')
        when 'when_spent' then given.value #>> '{}' in ('compensated', 'quarantined')
    end is not true
    limit 1;
    perform tenure.must_be(wrong.field, wrong.field is null, wrong.takes);
end
$$;

-- 16 MiB have room for 1,000 compensations of the longest texts; white space and escapes count.
create function tenure.must_be_compensations(compensations json) returns void language plpgsql strict as $$
declare
    wrong record;
begin
    if json_typeof(compensations) = 'null' or compensations::text = '[]' then
        return;
    end if;
    perform tenure.must_be('compensations', json_typeof(compensations) = 'array',
        'an array, such as [{"kind": "remove-worktree", "target": "/tmp/wt"}]');
    perform tenure.must_be('compensations', json_array_length(compensations) <= 1000,
        format('up to 1000, %s given', json_array_length(compensations)));
    perform tenure.must_be_json('compensations', compensations, 16777216, 3);
    select one.number into wrong
    from json_array_elements(compensations) with ordinality as one (given, number)
    where json_typeof(one.given) <> 'object' order by one.number limit 1;
    perform tenure.must_be('compensations', wrong.number is null,
        format('each an object of kind, target and perhaps reason; not so number %s', wrong.number));
    select found.field, found.takes, one.number into wrong
    from json_array_elements(compensations) with ordinality as one (given, number)
    cross join lateral (
        select one.given -> 'kind' as kind, one.given -> 'target' as target,
            case json_typeof(one.given -> 'reason') when 'null' then null else one.given -> 'reason' end
                as reason,
            (select key from json_object_keys(one.given) as key
                where key not in ('kind', 'target', 'reason') limit 1) as other
    ) as its cross join lateral (values
        ('compensations.' || left(its.other, 100), its.other is null,
            'there is no such field; a compensation has kind, target and perhaps reason'),
        ('compensations.kind', json_typeof(its.kind) = 'string' and tenure.is_name(its.kind #>> '{}'),
            '1 to 200 of A-Z a-z 0-9 - _ . : @ + /, not . or ..'),
        ('compensations.target',
            json_typeof(its.target) = 'string' and octet_length(its.target #>> '{}') <= 4096,
            'up to 4 KiB of text'),
        -- What says nothing consists of Unicode's white space.
        ('compensations.reason', its.reason is null or json_typeof(its.reason) = 'string'
            and octet_length(its.reason #>> '{}') <= 4096 and (its.reason #>> '{}') collate "C" ~
                E'[^\\u0009-\\u000D \\u0085\\u00A0\\u1680\\u2000-\\u200A\\u2028\\u2029\\u202F\\u205F\\u3000]',
            'must say something: 1 byte to 4 KiB of text')
    ) as found (field, fine, takes)
    where found.fine is not true order by one.number limit 1;
    perform tenure.must_be(wrong.field, wrong.field is null,
        format('%s; not so at number %s', wrong.takes, wrong.number));
end
$$;

-- Takes in a task whose record the caller has made and checked. Names are checked here, because they are
-- taken for ever. A name that another open transaction has taken is waited for, as with any unique key. No
-- exception is caught: that would cost every call a subtransaction.
create function tenure.take_in(namespace text, id text, saga_id text, queue text, actor text, record text)
returns text language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    perform tenure.must_be_id('namespace', namespace);
    perform tenure.must_be_id('id', id);
    perform tenure.must_be_id('saga_id', saga_id);
    perform tenure.must_be_name('queue', queue);
    perform tenure.must_be_name('actor', actor);
    perform tenure.must_be('record', record is not null, 'the task to create, as JSON');
    insert into tenure.names (namespace, id, saga_id) values (take_in.namespace, take_in.id, take_in.saga_id)
        on conflict do nothing;
    if not found then
        if exists (select from tenure.names as taken
                where taken.namespace = take_in.namespace and taken.id = take_in.id) then
            raise exception 'tenure: id: % exists in %, or did once; choose another id', id, namespace
                using errcode = 'unique_violation', column = 'id';
        end if;
        raise exception 'tenure: saga_id: % exists in %, or did once; choose another saga_id', saga_id,
            namespace using errcode = 'unique_violation', column = 'saga_id';
    end if;
    insert into tenure.intake (namespace, id, queue, actor, record)
        values (take_in.namespace, take_in.id, take_in.queue, take_in.actor, take_in.record);
    return id;
end
$$;

-- Asks for a task, and answers its id. What is left out or null is as everywhere: an id is made, the saga is
-- named as the task is, the payload is null, and so on. The actor is the role that logged in, if nobody is
-- named. The type `json` keeps numbers to the letter; who has `jsonb` or text casts it.
create function tenure.create_task(
    id text default null, queue text default 'default', payload json default 'null', kind text default 'task',
    priority integer default 0, not_before timestamptz default null, labels json default '{}',
    policy json default '{}', compensations json default '[]', saga_id text default null,
    namespace text default 'default', actor text default null
) returns text language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    named constant text := coalesce(id, gen_random_uuid()::text);
    asker constant text := coalesce(actor, session_user);
begin
    perform tenure.must_be_name('kind', coalesce(kind, 'task'));
    perform tenure.must_be('not_before', not_before is null
        or not_before between '0001-01-02 00:00:00+00' and '9999-12-30 22:00:00+00',
        'a time in the years 1 to 9999');
    perform tenure.must_be('actor', actor is not null or tenure.is_name(asker),
        format('give one; the role %s has a name that can''t be one', to_json(asker)));
    perform tenure.must_be_json('payload', payload, 262144, 100);
    perform tenure.must_be_labels(labels);
    perform tenure.must_be_policy(policy);
    perform tenure.must_be_compensations(compensations);
    return tenure.take_in(coalesce(namespace, 'default'), named, coalesce(saga_id, named),
        coalesce(queue, 'default'), asker, json_build_object(
            'id', named, 'saga_id', saga_id, 'queue', queue, 'kind', kind, 'labels', labels,
            'payload', payload, 'priority', priority,
            'not_before', to_char(not_before at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
            'policy', policy, 'compensations', compensations)::text);
end
$$;

-- Both act with the rights of whoever owns the schema, who says who may call them. `take_in` believes the
-- record that it is given: it is for programs that use the library.
revoke execute on function tenure.take_in(text, text, text, text, text, text) from public;
revoke execute on function tenure.create_task(text, text, json, text, integer, timestamptz, json, json, json,
    text, text, text) from public;
