//! A clock that stands still, and randomness without jitter: for tests that expect something at an instant.

use pyo3::prelude::*;
use tenure::Error;
use tenure::api::command::RandomSource;
use tenure::core::policy::Jitter;
use tenure::core::time::{Span, Time};
use tenure::entropy::{Entropy, SystemEntropy};

/// A clock that moves only when it is told to. Times are microseconds since 1970.
#[pyclass(frozen)]
pub(crate) struct ManualClock(pub(crate) tenure::clock::ManualClock);

#[pymethods]
impl ManualClock {
    #[new]
    fn new(at: i64) -> ManualClock {
        ManualClock(tenure::clock::ManualClock::at(Time::from_micros(at)))
    }

    fn now(&self) -> i64 {
        self.0.now().as_micros()
    }

    fn set(&self, at: i64) {
        self.0.set(Time::from_micros(at));
    }

    fn advance(&self, by: u64) {
        self.0.advance(Span::from_micros(by));
    }
}

/// The machine's randomness, but for jitter: a backoff is as long as it says.
pub(crate) struct WithoutJitter(SystemEntropy);

impl WithoutJitter {
    pub(crate) fn new() -> WithoutJitter {
        WithoutJitter(SystemEntropy)
    }
}

impl RandomSource for WithoutJitter {
    fn new_id(&self) -> String {
        self.0.new_id()
    }

    fn jitter(&self) -> Jitter {
        Jitter::NONE
    }
}

impl Entropy for WithoutJitter {
    fn secret_bits(&self) -> Result<[u8; 32], Error> {
        self.0.secret_bits()
    }
}
