//! `tenure demo`.

use clap::Args;

use crate::context::Context;
use crate::failure::Failure;

/// Watch
#[derive(Args)]
pub(crate) struct Demo {}

impl Demo {
    pub(crate) async fn run(self, _context: &mut Context<'_, '_>) -> Result<(), Failure> {
        Ok(())
    }
}
