//! What the bare engine sends to PostgreSQL.
//!
//! A name's namespace comes with it, as an array: a constant would let the planner look through all tasks of the
//! namespace while the tables are new and it knows of no rows.

pub(super) const LOCK: &str = "\
    select epoch, revision, state, head \
    from unnest(array_fill('default'::text, array[cardinality($1::text[])]), $1) as wanted(n, i) join tasks \
    on namespace = n and id = i order by id for update of tasks";

pub(super) const NAME: &str = "\
    insert into names (namespace, id, saga_id) select 'default', i, i from unnest($1::text[]) as new(i)";

pub(super) const CREATE: &str = "\
    insert into tasks (namespace, id, saga_id, queue, kind, state, priority, labels, payload, policy, attempts, \
        epoch, revision, owed, compensations, created_at, updated_at, head, feed) \
    select 'default', i, i, 'q', 'task', 'planned', 0, '{}', '{\"n\":1}', \
        '{\"lease_ttl\":\"60s\",\"max_attempts\":1}', 0, 0, 1, 0, 0, $3::bigint, $3, head, \
        pg_current_xact_id()::text::bigint \
    from unnest($1::text[], $2::bytea[]) as new(i, head)";

pub(super) const ACQUIRE: &str = "\
    update tasks set state = 'running', epoch = 1, attempts = 1, revision = 2, updated_at = $3::bigint, \
        started_at = $3, head = new.head, feed = pg_current_xact_id()::text::bigint \
    from unnest(array_fill('default'::text, array[cardinality($1::text[])]), $1, $2::bytea[]) as new(n, i, head) \
    where tasks.namespace = n and tasks.id = i and tasks.revision = 1";

pub(super) const LEASE: &str = "\
    insert into due (namespace, task, wait, owner, granted_to, epoch, ttl, since, heartbeat_at, progressed_at, \
        expires_at, check_at, cancel_asked, held_back) \
    select 'default', i, 'lease', 'host/123/worker-17', 'host/123/worker-17', 1, 60000000, now, now, now, \
        now + 60000000, now + 60000000, false, false \
    from unnest($1::text[]) as new(i), cast($2 as bigint) as now";

pub(super) const RENEW: &str = "\
    update due set heartbeat_at = $2::bigint, expires_at = $2 + 60000000 \
    from unnest(array_fill('default'::text, array[cardinality($1::text[])]), $1) as new(n, i) \
    where due.namespace = n and due.task = i and due.owner = 'host/123/worker-17' and due.epoch = 1";

pub(super) const RELEASE: &str = "\
    delete from due using unnest(array_fill('default'::text, array[cardinality($1::text[])]), $1) as ended(n, i) \
    where due.namespace = n and due.task = i";

pub(super) const COMPLETE: &str = "\
    update tasks set state = 'completed', cause = 'completed', revision = 3, updated_at = $3::bigint, \
        finished_at = $3, result = '{\"ok\":true}', head = new.head, \
        feed = greatest(feed, pg_current_xact_id()::text::bigint) \
    from unnest(array_fill('default'::text, array[cardinality($1::text[])]), $1, $2::bytea[]) as new(n, i, head) \
    where tasks.namespace = n and tasks.id = i and tasks.revision = 2";

pub(super) const EVENTS: &str = "\
    insert into events (namespace, task, number, feed, at, actor, type, data, hash) \
    select 'default', i, number, pg_current_xact_id()::text::bigint, $3::bigint, 'host/123/worker-17', type, data, \
        hash \
    from unnest($1::text[], $2::bigint[], $4::text[], $5::text[], $6::bytea[]) as new(i, number, type, data, hash)";
