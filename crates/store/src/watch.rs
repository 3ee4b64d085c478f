//! The watch mark, which shows whether recovery ran all the time or was absent.
//!
//! A recovery loop renews the mark each second. A process that finds an old mark knows that no recovery ran for a
//! while. Maybe nobody could renew a lease in that time either. So a lease that lapsed then is left to its holder for
//! one more lease length. The absence stays recorded beside the mark, so that every recovery that returns sees it.

pub use tenure_api::list::Absence;
pub use tenure_api::overview::{Presence, Recoverer, Watchers};

/// The mark is renewed this often.
pub const RENEW_EVERY: std::time::Duration = std::time::Duration::from_secs(1);
