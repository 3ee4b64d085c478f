//! `tenure migrate`: brings a store to the schema of this program, or says whether that is needed.

use clap::Args;
use serde::Serialize;
use tenure::Ledger;
use tenure::store::{IfMissing, SchemaState};

use crate::context::Context;
use crate::error::CliError;
use crate::global::OutputFormat;

/// Bring a store to the schema of this version of Tenure
///
/// Use it before the servers of a new version start. Opening a store migrates it, too; this does nothing else. It is one transaction
/// under a lock: many may run it at once, and one that is killed leaves the old schema. Make a backup before, with `tenure backup`: older
/// versions of Tenure can't open the store afterwards.
#[derive(Args)]
#[command(after_help = "Example:\n  tenure migrate --dry-run\n  tenure migrate --store postgres://db/app")]
pub(crate) struct Migrate {
    /// Only say whether the store has an older schema
    #[arg(long)]
    dry_run: bool,
}

/// What was done, for programs.
#[derive(Serialize)]
struct MigrateAnswer {
    migrate: MigrateJson,
}

#[derive(Serialize)]
struct MigrateJson {
    dry_run: bool,
    /// What it was: `older` or `current`.
    schema: &'static str,
    migrated: bool,
}

impl Migrate {
    pub(crate) async fn run(self, context: &mut Context<'_, '_>) -> Result<(), CliError> {
        if context.is_store_served()? {
            let words = "a server migrates its own store: pass --store with the file or the database";
            return Err(CliError::Usage(words.into()));
        }
        let settings = context.settings()?;
        let (builder, url) = context.store_to_look_at(&settings)?;
        let (schema, says) = match Ledger::builder().condition(&url).await? {
            SchemaState::Older if self.dry_run => {
                ("older", "the store has an older schema, and would be migrated")
            }
            SchemaState::Older => {
                ("older", "the store was migrated; older versions of Tenure can't open it any more")
            }
            SchemaState::Current => ("current", "the store has the schema of this version already"),
            // Of what can't be migrated, opening it says why.
            SchemaState::Missing | SchemaState::Newer { .. } | SchemaState::Foreign => {
                builder.missing(IfMissing::Refuse).open(&url).await?;
                ("current", "the store has the schema of this version already")
            }
        };
        let migrated = schema == "older" && !self.dry_run;
        if migrated {
            let (builder, _) = context.store_to_look_at(&settings)?;
            builder.missing(IfMissing::Refuse).open(&url).await?;
        }
        match context.out.form() {
            OutputFormat::Json => context
                .out
                .json(&MigrateAnswer { migrate: MigrateJson { dry_run: self.dry_run, schema, migrated } }),
            OutputFormat::Table if context.out.is_quiet() => Ok(()),
            OutputFormat::Table => context.out.line(says),
        }
    }
}
