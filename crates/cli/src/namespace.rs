//! `tenure namespace …`: the namespaces of a store.

use clap::{Args, Subcommand};
use tenure::core::task::State;
use tenure::instant::rough;
use tenure::store::overview::Overview;

use crate::context::Context;
use crate::error::CliError;
use crate::global::OutputFormat;
use crate::output::{Colour, Output, plain};

#[derive(Subcommand)]
pub(crate) enum NamespaceVerb {
    List(NamespaceList),
}

impl NamespaceVerb {
    pub(crate) async fn run(self, context: &mut Context<'_, '_>) -> Result<(), CliError> {
        match self {
            NamespaceVerb::List(verb) => verb.run(context).await,
        }
    }
}

/// List the namespaces that have or had tasks
///
/// Use it to see which namespaces a store has, and which need attention. With a token it lists only the token's namespaces.
/// As JSON it prints one namespace per line.
#[derive(Args)]
#[command(after_help = "Example:\n  tenure namespace list")]
pub(crate) struct NamespaceList {}

impl NamespaceList {
    async fn run(self, context: &mut Context<'_, '_>) -> Result<(), CliError> {
        let ledger = context.ledger_to_read().await?;
        let namespaces = ledger.namespaces().await?;
        if context.out.form() == OutputFormat::Json {
            let line = |name: &str| serde_json::json!({ "namespace": name });
            return namespaces.iter().try_for_each(|one| context.out.json(&line(one.as_str())));
        }
        if context.out.is_quiet() {
            return namespaces.iter().try_for_each(|one| context.out.line(one.as_str()));
        }
        if namespaces.is_empty() {
            context.out.note("there are no namespaces yet; the first task of one creates it");
            return Ok(());
        }
        let headings = ["NAMESPACE", "OPEN", "STALE", "QUARANTINED", "UNSUCCESSFUL (24H)", "OLDEST OPEN"];
        let mut table = context.out.table(&headings);
        for namespace in &namespaces {
            let overview = ledger.in_namespace(namespace.as_str())?.overview().await?;
            let Glance { open, stale, quarantined, did_not_succeed } = Glance::of(&overview);
            let bad = |count: u64| match count {
                0 => plain(count),
                _ => context.out.cell(&count.to_string(), Colour::Bad),
            };
            let oldest = overview.states.iter().filter(|count| count.state.terminal().is_none());
            let oldest = oldest.filter_map(|count| count.oldest.as_ref()).map(|oldest| oldest.since).min();
            let age = oldest.map(|since| rough(overview.at.since(since))).unwrap_or_default();
            let cells = [
                plain(namespace),
                plain(open),
                bad(stale),
                bad(quarantined),
                bad(did_not_succeed),
                plain(age),
            ];
            Output::row(&mut table, cells);
        }
        context.out.show(&table)
    }
}

/// The counts of a namespace in one row.
struct Glance {
    open: u64,
    stale: u64,
    quarantined: u64,
    did_not_succeed: u64,
}

impl Glance {
    fn of(overview: &Overview) -> Glance {
        let states = &overview.states;
        let open = states.iter().filter(|count| count.state.terminal().is_none());
        let quarantined = states.iter().filter(|count| count.state == State::Quarantined);
        Glance {
            open: open.map(|count| count.count).sum(),
            stale: states.iter().map(|count| count.stale).sum(),
            quarantined: quarantined.map(|count| count.count).sum(),
            did_not_succeed: overview.did_not_succeed().map(|end| end.last_day).sum(),
        }
    }
}
