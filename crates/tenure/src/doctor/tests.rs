//! Tests checks on facts that a test can't bring about: standbys, a full disk, clocks of other machines.

use std::path::PathBuf;

use tenure_core::chain::Hash;
use tenure_core::id::Actor;
use tenure_core::time::{Span, Time};
use tenure_store::health::{
    FileHealth, Integrity, PathKind, Permissions, PostgresHealth, Standby, StoreHealth,
};
use tenure_store::retention::{AnchorPurpose, AnchorRecord};
use tenure_store::{Error, Failure};

use super::*;

fn at(seconds: u64) -> Time {
    Time::from_micros(0) + Span::from_secs(1_000_000 + seconds)
}

/// A store of that kind in which nothing is wrong.
fn facts(kind: StoreKind, health: StoreHealth) -> Facts {
    Facts {
        kind,
        shown: "somewhere".to_owned(),
        clock: ClockFacts { before: at(0), store: at(0), after: at(0) },
        health: Ok(health),
        namespaces: Ok(Vec::new()),
        backup: None,
        absent: None,
        late: Ok(LateFacts::default()),
        cursors: Ok(Vec::new()),
        tokens: Ok(Vec::new()),
        chain: Ok(ChainFacts { tasks: 0, events: 0, findings: Vec::new(), is_all: true }),
        anchor: Ok(AnchorLook::Recorded(None)),
        recovery: RecoverySettings::Unknown,
    }
}

fn file() -> FileHealth {
    let folder = Permissions {
        path: PathBuf::from("/var/lib/tenure"),
        kind: PathKind::Directory,
        mode: 0o755,
        is_writable: true,
    };
    let file = Permissions {
        path: PathBuf::from("/var/lib/tenure/t.db"),
        kind: PathKind::File,
        mode: 0o640,
        is_writable: true,
    };
    FileHealth {
        path: PathBuf::from("/var/lib/tenure/t.db"),
        bytes: 4096,
        wal_bytes: Some(0),
        free_bytes: Some(u64::MAX),
        permissions: vec![folder, file],
        integrity: Integrity::Holds,
    }
}

fn in_file(file: FileHealth) -> Facts {
    facts(StoreKind::File, StoreHealth { file: Some(file), postgres: None })
}

fn postgres(standbys: &[(&str, &str)]) -> PostgresHealth {
    let standby = |(name, state): &(&str, &str)| Standby {
        name: Some((*name).to_owned()),
        sync_state: Some((*state).to_owned()),
    };
    PostgresHealth {
        fsync: "on".to_owned(),
        full_page_writes: "on".to_owned(),
        synchronous_commit: "on".to_owned(),
        synchronous_commit_source: "default".to_owned(),
        database: "app".to_owned(),
        synchronous_standby_names: String::new(),
        standbys: standbys.iter().map(standby).collect(),
    }
}

fn in_postgres(postgres: PostgresHealth) -> Facts {
    let facts = facts(StoreKind::Postgres, StoreHealth { file: None, postgres: Some(postgres) });
    Facts { shown: "postgres://ann@db:5432/app?schema=tenure".to_owned(), ..facts }
}

fn check(facts: &Facts, name: CheckName) -> CheckResult {
    let found = diagnosis(diagnose(facts)).checks.into_iter().find(|check| check.name == name);
    found.unwrap_or_else(|| panic!("{name:?} was skipped"))
}

fn verdict(facts: &Facts, name: CheckName) -> Verdict {
    check(facts, name).verdict
}

#[test]
fn each_check_is_made_or_skipped_with_a_reason_once_whatever_the_store() {
    let stores = [
        in_file(file()),
        in_postgres(postgres(&[])),
        facts(StoreKind::Memory, StoreHealth::default()),
        facts(StoreKind::Server, StoreHealth::default()),
    ];
    for facts in stores {
        let Diagnosis { checks, skipped, .. } = diagnosis(diagnose(&facts));
        let mut names: Vec<CheckName> = checks.iter().map(|check| check.name).collect();
        names.extend(skipped.iter().map(|check| check.name));
        names.sort_unstable();
        // The opening makes the other two.
        let expected: Vec<CheckName> = CheckName::ALL.into_iter().skip(2).collect();
        assert_eq!(names, expected, "{:?}", facts.kind);
    }
}

#[test]
fn what_does_not_pass_has_a_command() {
    let mut broken = file();
    broken.free_bytes = Some(1);
    broken.wal_bytes = None;
    broken.integrity = Integrity::Broken(vec!["row 1 missing from index".to_owned()]);
    broken.permissions[1].mode = 0o666;
    let mut facts = in_file(broken);
    facts.clock.after = at(1_000);
    facts.clock.before = at(1_000);
    facts.late = Err(Error::Unavailable(Failure::from("away")));
    facts.tokens = Err(Error::Corrupt(Failure::from("odd")));
    for check in diagnosis(diagnose(&facts)).checks {
        assert_eq!(check.verdict == Verdict::Pass, check.mend.is_none(), "{check:?}");
    }
}

#[test]
fn a_damaged_file_proves_nothing_of_what_is_in_it() {
    let mut broken = file();
    broken.integrity = Integrity::Broken(vec!["row 1 missing from index".to_owned()]);
    let facts = in_file(broken);
    let Diagnosis { checks, skipped, .. } = diagnosis(diagnose(&facts));
    for name in [CheckName::Chain, CheckName::Tasks, CheckName::Stale, CheckName::Quarantined] {
        let skipped = skipped.iter().find(|one| one.name == name);
        assert!(skipped.is_some_and(|one| one.reason.contains("proves nothing")), "{name:?}: {checks:?}");
    }
    // What is wrong is wrong, damaged or not, and the place is what it is.
    assert_eq!(check(&facts, CheckName::Anchor).verdict, Verdict::Warn);
    assert_eq!(check(&facts, CheckName::Disk).verdict, Verdict::Pass);
}

#[test]
fn an_asynchronous_standby_warns_and_the_command_makes_commits_wait_for_it() {
    assert_eq!(verdict(&in_postgres(postgres(&[])), CheckName::Standbys), Verdict::Pass);
    assert_eq!(verdict(&in_postgres(postgres(&[("a", "sync")])), CheckName::Standbys), Verdict::Pass);
    let found = check(&in_postgres(postgres(&[("a", "sync"), ("b", "async")])), CheckName::Standbys);
    assert_eq!(found.verdict, Verdict::Warn);
    assert!(found.says.contains("1 of 2 standbys") && found.says.contains("(b)"), "{}", found.says);
    let command = found.mend.expect("a command");
    assert!(command.starts_with("psql -d postgres://ann@db:5432/app -c "), "{command}");
    assert!(command.contains(r#"ANY 1 ("a", "b")"#), "{command}");
    assert!(found.says.contains("While none of them is connected, every commit waits"), "{}", found.says);
    // What is hidden may be a program that soon ends. Its name is shown all the same.
    for name in [None, Some("a".to_owned())] {
        let mut hidden = postgres(&[("a", "async")]);
        hidden.standbys[0] = Standby { name, sync_state: None };
        let command = check(&in_postgres(hidden), CheckName::Standbys).mend.expect("a command");
        let only_looks = command.contains("select application_name") && !command.contains("alter system");
        assert!(only_looks, "{command}");
    }
}

#[test]
fn a_command_for_several_servers_goes_to_the_one_that_takes_writes() {
    for (shown, url) in [
        ("postgres://ann@a:5432/app?schema=t", "postgres://ann@a:5432/app"),
        (
            "postgres://ann@a:1,b:2/app?schema=t",
            "'postgres://ann@a:1,b:2/app?target_session_attrs=read-write'",
        ),
        (
            "postgres://ann@/app?host=/run,b&port=1,2&schema=t",
            "'postgres://ann@/app?host=/run,b&port=1,2&target_session_attrs=read-write'",
        ),
    ] {
        let mut broken = postgres(&[]);
        "off".clone_into(&mut broken.fsync);
        let facts = Facts { shown: shown.to_owned(), ..in_postgres(broken) };
        let command = check(&facts, CheckName::Fsync).mend.expect("a command");
        assert_eq!(
            command,
            format!("psql -d {url} -c 'alter system set fsync = on' -c 'select pg_reload_conf()'")
        );
    }
}

#[test]
fn a_commit_that_no_standby_is_waited_for_fails_and_is_reset_where_it_was_set() {
    let judged = |value: &str, source: &str, names: &str| {
        let mut health = postgres(&[]);
        value.clone_into(&mut health.synchronous_commit);
        source.clone_into(&mut health.synchronous_commit_source);
        names.clone_into(&mut health.synchronous_standby_names);
        let check = check(&in_postgres(health), CheckName::SynchronousCommit);
        (check.verdict, check.mend.unwrap_or(check.says))
    };
    for (value, names) in [("off", ""), ("off", "a"), ("local", ""), ("remote_write", "a")] {
        let (verdict, said) = judged(value, "user", names);
        assert_eq!(verdict, Verdict::Pass, "{value}: {said}");
    }
    assert!(judged("off", "user", "").1.contains("turns it on for itself"));
    for (source, words) in [
        ("user", "'alter role current_user reset synchronous_commit'"),
        ("database user", r#"'alter role current_user in database "app" reset synchronous_commit'"#),
        ("database", r#"'alter database "app" reset synchronous_commit'"#),
        ("client", "env -u PGOPTIONS psql -d postgres://ann@db:5432/app -c 'show synchronous_commit'"),
        ("configuration file", "'alter system set synchronous_commit = on'"),
    ] {
        let (verdict, command) = judged("local", source, "a");
        assert_eq!(verdict, Verdict::Fail, "{source}: {command}");
        assert!(command.contains(words), "{source}: {command}");
    }
}

/// Turns a setting off.
type SetOff = fn(&mut PostgresHealth, String);

#[test]
fn each_setting_that_breaks_a_promise_fails_alone() {
    let off = || "off".to_owned();
    let sets: [(CheckName, SetOff); 2] = [
        (CheckName::Fsync, |broken, off| broken.fsync = off),
        (CheckName::FullPageWrites, |broken, off| broken.full_page_writes = off),
    ];
    for (name, set) in sets {
        let mut broken = postgres(&[]);
        set(&mut broken, off());
        let found = diagnosis(diagnose(&in_postgres(broken)));
        let failed: Vec<_> = found.checks.iter().filter(|check| check.verdict == Verdict::Fail).collect();
        assert_eq!(failed.iter().map(|check| check.name).collect::<Vec<_>>(), [name]);
        assert!(failed[0].mend.as_ref().is_some_and(|command| command.contains(" -c 'alter system set ")));
    }
}

#[test]
fn the_room_on_the_disk_and_the_log_are_judged_by_their_thresholds() {
    let with = |change: &dyn Fn(&mut FileHealth)| {
        let mut file = file();
        change(&mut file);
        in_file(file)
    };
    let disk = |free| verdict(&with(&|file| file.free_bytes = Some(free)), CheckName::Disk);
    assert_eq!(disk(thresholds::DISK_WARN), Verdict::Pass);
    assert_eq!(disk(thresholds::DISK_WARN - 1), Verdict::Warn);
    assert_eq!(disk(thresholds::DISK_FAIL - 1), Verdict::Fail);
    let log = |bytes| verdict(&with(&|file| file.wal_bytes = Some(bytes)), CheckName::WalSize);
    assert_eq!(log(thresholds::WAL_WARN - 1), Verdict::Pass);
    assert_eq!(log(thresholds::WAL_WARN), Verdict::Warn);
    assert_eq!(log(thresholds::WAL_FAIL), Verdict::Fail);
}

#[test]
fn a_directory_for_everybody_is_fine_where_only_owners_may_remove_files() {
    let mode = |mode| {
        let mut file = file();
        file.permissions[0].mode = mode;
        verdict(&in_file(file), CheckName::Permissions)
    };
    assert_eq!(mode(0o777), Verdict::Fail);
    assert_eq!(mode(0o1777), Verdict::Pass);
}

#[test]
fn a_clock_is_judged_by_both_of_its_readings() {
    let apart = |before, store, after| {
        let mut facts = in_postgres(postgres(&[]));
        facts.clock = ClockFacts { before: at(before), store: at(store), after: at(after) };
        verdict(&facts, CheckName::Clock)
    };
    assert_eq!(apart(0, 20, 30), Verdict::Pass, "a slow answer is no difference");
    assert_eq!(apart(0, 36, 30), Verdict::Warn);
    assert_eq!(apart(400, 90, 401), Verdict::Fail);
}

#[test]
fn the_record_of_an_anchor_is_judged_by_its_age_and_says_what_its_root_can_not_show() {
    let facts_of = |ago: Span, comparison| {
        let record = AnchorRecord {
            number: 1,
            purpose: AnchorPurpose::Audit,
            cursor: "e1".to_owned(),
            root: Hash([0; 32]),
            lines: 7,
            at: at(0) - ago,
            by: Actor::new("ann").expect("a name"),
        };
        let mut facts = in_file(file());
        facts.anchor = Ok(AnchorLook::Recorded(Some((record, comparison))));
        facts
    };
    let week = thresholds::RECORDED_WARN;
    let old = Span::from_micros(week.as_micros() + 1);
    assert_eq!(verdict(&facts_of(week, RootComparison::Same), CheckName::Anchor), Verdict::Pass);
    assert_eq!(verdict(&facts_of(old, RootComparison::Same), CheckName::Anchor), Verdict::Warn);
    let judged = |comparison| {
        let check = check(&facts_of(Span::ZERO, comparison), CheckName::Anchor);
        (check.verdict, check.says)
    };
    // However young it is.
    for (comparison, expected, words) in [
        (RootComparison::Same, Verdict::Pass, "still has its root"),
        (RootComparison::Other, Verdict::Warn, "only its file tells which, pass it with --anchor"),
        (RootComparison::CutOff, Verdict::Fail, "events were cut off"),
        (RootComparison::PrunedSince, Verdict::Pass, "tasks were pruned since"),
        (RootComparison::TooMany, Verdict::Pass, "--deep reads them"),
        (RootComparison::OneNamespace, Verdict::Pass, "over all namespaces"),
        (RootComparison::Missing(2), Verdict::Fail, "2 tasks that it has are not here any more"),
    ] {
        let (verdict, said) = judged(comparison);
        assert_eq!(verdict, expected, "{said}");
        assert!(said.contains(words), "{said}");
    }
    let unreadable = Facts { anchor: Err(Error::Corrupt(Failure::from("odd"))), ..in_file(file()) };
    assert_eq!(check(&unreadable, CheckName::Anchor).verdict, Verdict::Fail);
}
