//! `tenure completions` and `tenure man`: files that a package installs beside the binary.

use std::io;
use std::path::{Path, PathBuf};

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Command};
use clap_complete::env::Shells;

use crate::complete::VARIABLE;
use crate::context::Context;
use crate::error::CliError;

/// Print a shell completion script
///
/// Use it once for your shell. The script asks `tenure` for completions, so it also completes the tasks, queues and owners
/// in your store.
#[derive(Args)]
#[command(after_help = "Example:\n  tenure completions bash > tenure.bash && source ./tenure.bash\n\n\
                  To install it, write it to the file that your shell loads: bash-completion/completions/tenure in\n\
                  your data directory, _tenure in a directory of zsh's fpath, or fish/completions/tenure.fish.")]
pub(crate) struct Completions {
    /// Shell to complete in
    #[arg(value_name = "SHELL", value_parser = shells())]
    shell: String,
}

fn shells() -> impl TypedValueParser<Value = String> {
    PossibleValuesParser::new(["bash", "zsh", "fish", "elvish", "powershell"]).map(|shell| shell)
}

impl Completions {
    pub(crate) fn run(self, context: &mut Context<'_, '_>) -> Result<(), CliError> {
        let builtins = Shells::builtins();
        let unknown = || CliError::Failed(format!("no completion script for {}", self.shell));
        let shell = builtins.completer(&self.shell).ok_or_else(unknown)?;
        let mut script = Vec::new();
        let written = shell.write_registration(VARIABLE, "tenure", "tenure", "tenure", &mut script);
        written.map_err(|error| CliError::Failed(error.to_string()))?;
        context.out.bytes(&script)
    }
}

/// Print or write manual pages
///
/// Use it to read a page (`tenure man task acquire | man -l -`), or with --dir to write all pages for a package.
#[derive(Args)]
#[command(after_help = "Example:\n  tenure man --dir ~/.local/share/man/man1")]
pub(crate) struct Man {
    /// Command to print the page of [default: tenure]
    #[arg(value_name = "COMMAND")]
    words: Vec<String>,
    /// Directory to write the pages of all commands to
    #[arg(long, value_name = "DIR", conflicts_with = "words")]
    dir: Option<PathBuf>,
}

impl Man {
    pub(crate) fn run(self, tenure: Command, context: &mut Context<'_, '_>) -> Result<(), CliError> {
        let mut tenure = tenure.disable_help_subcommand(true);
        tenure.build();
        if let Some(folder) = self.dir {
            let failed = |error| CliError::Failed(format!("--dir: {}: {error}", folder.display()));
            return std::fs::create_dir_all(&folder)
                .and_then(|()| write_pages(&tenure, &folder))
                .map_err(failed);
        }
        let mut of = &tenure;
        for word in &self.words {
            let unknown = || CliError::Usage(format!("`{}` has no command `{word}`", of.get_name()));
            of = of.find_subcommand(word).ok_or_else(unknown)?;
        }
        let page = page(of).map_err(|error| CliError::Failed(error.to_string()))?;
        context.out.bytes(&page)
    }
}

/// Writes the page of a command and of all its subcommands, also of those that lists of commands leave out.
fn write_pages(command: &Command, folder: &Path) -> io::Result<()> {
    let name = command.get_display_name().unwrap_or(command.get_name());
    std::fs::write(folder.join(format!("{name}.1")), page(command)?)?;
    command.get_subcommands().try_for_each(|below| write_pages(below, folder))
}

fn page(command: &Command) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    clap_mangen::Man::new(command.clone()).render(&mut text)?;
    Ok(text)
}
