//! The checks of the record as a whole: its history, its anchor, its clock, and who has access.

use tenure_api::doctor::{CheckName, CheckResult, Verdict};
use tenure_api::instant::{print_seconds, rough};
use tenure_core::refusal::Code;
use tenure_core::time::Span;
use tenure_store::access::Token;
use tenure_store::retention::AnchorRecord;

use crate::audit::Finding;
use crate::doctor::facts::{AnchorFacts, AnchorLook, ChainFacts, Facts, RootComparison, StoreKind};
use crate::doctor::outcome::{CheckOutcome, count, looking_command, named, pass, skipped, unreadable};
use crate::doctor::thresholds as at;
use crate::shell::quoted;

/// Every check of the record.
pub fn record_checks(facts: &Facts) -> Vec<CheckOutcome> {
    vec![chain(facts), anchor(facts), clock(facts), tokens(facts), server(facts)]
}

fn chain(facts: &Facts) -> CheckOutcome {
    let name = CheckName::Chain;
    let ChainFacts { tasks, events, findings, is_all } = match &facts.chain {
        Ok(chain) => chain,
        Err(error) => return unreadable(name, error, facts),
    };
    let extent = match is_all {
        true => format!("all {}, {}", count(*tasks, "task"), count(*events, "event")),
        false => format!(
            "the newest {}, {}; `tenure audit verify` verifies the rest, too",
            count(*tasks, "task"),
            count(*events, "event")
        ),
    };
    let result = if findings.is_empty() {
        pass(name, format!("verified {extent}"))
    } else {
        let problems: Vec<String> = findings.iter().map(Finding::to_string).collect();
        let words = format!(
            "the history is not what was recorded: {}; copy the store before you change anything. Looked at {extent}",
            named(&problems)
        );
        CheckResult::new(name, Verdict::Fail, words)
            .mended_by("tenure audit verify")
            .fact("findings", problems.into_iter().take(at::NAMED).collect::<Vec<_>>())
    };
    let result = result.fact("tasks", *tasks).fact("events", *events).fact("is_all", *is_all);
    result.fact("problems", findings.len() as u64).into()
}

fn anchor(facts: &Facts) -> CheckOutcome {
    let name = CheckName::Anchor;
    match &facts.anchor {
        Ok(AnchorLook::Given(anchor)) => given_anchor(anchor, facts),
        Ok(AnchorLook::Recorded(recorded)) => recorded_anchor(recorded.as_ref(), facts),
        // Its cursor lies past the end of the history, or is one of another kind of store.
        Err(error) if error.code() == Some(Code::Invalid) => {
            let words = format!("the anchor is not of this store, or events were cut off since: {error}");
            let verify = "tenure audit verify";
            CheckResult::new(name, Verdict::Fail, words).mended_by(verify).into()
        }
        Err(error) => unreadable(name, error, facts),
    }
}

/// The command that writes an anchor, and records it.
fn write_anchor(facts: &Facts) -> String {
    let date = print_seconds(facts.now());
    format!("tenure audit anchor > anchor-{}", date.split('T').next().unwrap_or_default())
}

fn given_anchor(anchor: &AnchorFacts, facts: &Facts) -> CheckOutcome {
    let (name, AnchorFacts { file, lines, uncovered_since }) = (CheckName::Anchor, anchor);
    let result = match uncovered_since.map(|since| facts.now().since(since)) {
        None => pass(name, format!("{file} covers every event")),
        Some(age) if age <= at::ANCHOR_WARN => {
            pass(name, format!("{file} covers everything but the last {}", rough(age)))
        }
        Some(age) => {
            let words = format!("{file} does not cover the events of the last {}", rough(age));
            CheckResult::new(name, Verdict::Warn, words).mended_by(write_anchor(facts))
        }
    };
    let since = uncovered_since.map(tenure_api::instant::print);
    result.fact("file", file.as_str()).fact("tasks", *lines).fact("uncovered_since", since).into()
}

/// A record has a root and no lines: it shows what is missing, but not where.
fn recorded_anchor(recorded: Option<&(AnchorRecord, RootComparison)>, facts: &Facts) -> CheckOutcome {
    let name = CheckName::Anchor;
    let Some((record, comparison)) = recorded else {
        let words = "no anchor was ever recorded: without one nothing shows whether the newest events of a task or whole tasks \
                     were cut off. Keep its file elsewhere";
        return CheckResult::new(name, Verdict::Warn, words).mended_by(write_anchor(facts)).into();
    };
    let age = facts.now().since(record.at);
    let recorded = format!("{} recorded the newest anchor {} ago", record.by, rough(age));
    let only_its_file = "only its file tells which, pass it with --anchor";
    let (verdict, shows) = match comparison {
        RootComparison::Same => (Verdict::Pass, "the history still has its root".to_owned()),
        RootComparison::Other => (
            Verdict::Warn,
            format!(
                "the history has another root: many tasks changed while it was made, older ones were imported since, or something was changed \
                 or cut off; {only_its_file}"
            ),
        ),
        RootComparison::CutOff => (
            Verdict::Fail,
            format!(
                "the history has another root and ends before the place where the anchor was made: events were cut off, unless it was imported since; {only_its_file}. \
                 Copy the store before you change anything"
            ),
        ),
        RootComparison::PrunedSince => (
            Verdict::Pass,
            "its root can't be compared, because tasks were pruned since; pass its file with --anchor"
                .to_owned(),
        ),
        RootComparison::TooMany => (
            Verdict::Pass,
            "its root was not compared, because there are many tasks; --deep reads them".to_owned(),
        ),
        RootComparison::OneNamespace => (Verdict::Pass, "its root is over all namespaces".to_owned()),
        RootComparison::Missing(missing) => (
            Verdict::Fail,
            format!(
                "{} that it has {} not here any more, nor pruned; {only_its_file}. Copy the store before you change anything",
                count(*missing, "task"),
                if *missing == 1 { "is" } else { "are" }
            ),
        ),
    };
    let result = match verdict {
        Verdict::Warn | Verdict::Fail => CheckResult::new(name, verdict, format!("{recorded}, and {shows}"))
            .mended_by("tenure audit verify"),
        Verdict::Pass if age > at::RECORDED_WARN => {
            let words = format!("{recorded}, and {shows}. Nothing shows what was cut off since");
            CheckResult::new(name, Verdict::Warn, words).mended_by(write_anchor(facts))
        }
        Verdict::Pass => pass(name, format!("{recorded}, and {shows}")),
    };
    let at = tenure_api::instant::print(record.at);
    result.fact("recorded_at", at).fact("by", record.by.as_str()).fact("tasks", record.lines).into()
}

fn clock(facts: &Facts) -> CheckOutcome {
    let (name, clock) = (CheckName::Clock, facts.clock);
    let (apart, word) = match (clock.before > clock.store, clock.store > clock.after) {
        (true, _) => (clock.before.since(clock.store), "ahead of"),
        (_, true) => (clock.store.since(clock.after), "behind"),
        (false, false) => (Span::ZERO, "at"),
    };
    let verdict = match apart {
        apart if apart > at::CLOCK_FAIL => Verdict::Fail,
        apart if apart > at::CLOCK_WARN => Verdict::Warn,
        _ => Verdict::Pass,
    };
    let result = match (verdict, facts.kind) {
        (Verdict::Pass, _) => pass(name, "this machine's clock is the store's"),
        (_, StoreKind::File | StoreKind::Memory) => {
            let words = format!(
                "this machine's clock was set back: it is {} {word} the newest time in the store; until it has caught up, the \
                 store counts on from there",
                rough(apart)
            );
            CheckResult::new(name, verdict, words).mended_by("sudo timedatectl set-ntp true")
        }
        (_, StoreKind::Postgres | StoreKind::Server) => {
            let words = format!(
                "this machine's clock is {} {word} the store's, by which leases end; check both machines",
                rough(apart)
            );
            CheckResult::new(name, verdict, words).mended_by("sudo timedatectl set-ntp true")
        }
    };
    result.fact("apart_ms", apart.as_micros() / 1_000).into()
}

fn tokens(facts: &Facts) -> CheckOutcome {
    let name = CheckName::Tokens;
    let tokens = match &facts.tokens {
        Ok(tokens) => tokens,
        Err(error) => return unreadable(name, error, facts),
    };
    let live: Vec<&Token> = tokens.iter().filter(|token| token.is_live(facts.now())).collect();
    let endless: Vec<&Token> = live.iter().copied().filter(|token| token.expires_at.is_none()).collect();
    let names: Vec<String> = endless.iter().map(|token| token.name.to_string()).collect();
    let result = match endless.first() {
        None if tokens.is_empty() => pass(name, "there are no tokens: servers answer local requests only"),
        None if live.is_empty() => pass(name, "no token is live"),
        None => pass(name, format!("{}, and each expires", count(live.len() as u64, "live token"))),
        Some(first) => {
            let verb = if names.len() == 1 { "expires" } else { "expire" };
            let scope = first.namespaces.words();
            let scope = scope.iter().map(|word| format!(" --namespace {}", quoted(word)));
            let words = format!(
                "{} never {verb}: {}; first create the next one: `tenure token create --name {}-2 --role {} --expires 90d{}`",
                count(names.len() as u64, "token"),
                named(&names),
                first.name,
                first.role,
                scope.collect::<String>()
            );
            CheckResult::new(name, Verdict::Warn, words)
                .mended_by(format!("tenure token revoke {}", first.name))
        }
    };
    result.fact("live", live.len() as u64).fact("never_expire", names).into()
}

/// What a server says about its own store.
fn server(facts: &Facts) -> CheckOutcome {
    let name = CheckName::Server;
    if facts.kind != StoreKind::Server {
        return skipped(name, "the store is not behind a server");
    }
    let Ok(namespaces) = &facts.namespaces else { return skipped(name, "the tasks can't be read") };
    // Each namespace repeats what is said of the whole store.
    let warnings = namespaces.first().map(|one| one.overview.warnings.clone()).unwrap_or_default();
    if warnings.is_empty() {
        return pass(name, "the server has no warning").into();
    }
    let words = format!(
        "the server warns: {}; run `tenure --store STORE doctor` there, with its own store",
        named(&warnings)
    );
    CheckResult::new(name, Verdict::Warn, words)
        .mended_by(looking_command(facts.kind, &facts.shown))
        .fact("warnings", warnings)
        .into()
}
