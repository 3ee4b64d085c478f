//! The parts of the project, and the tests that touch each: `cargo xtask test PART`.

/// A part, with the tests that a change of it should run first.
pub(crate) struct Part {
    pub(crate) name: &'static str,
    /// What you work on when you choose this part.
    pub(crate) is: &'static str,
    /// Modules of the testkit's tests.
    testkit: &'static [&'static str],
    /// A filter expression for the tests of other crates.
    others: &'static str,
}

/// Every module of the testkit's tests is in one of them at least.
pub(crate) const PARTS: &[Part] = &[
    Part {
        name: "core",
        is: "the rules: the table, its guards and outcomes",
        testkit: &["conformance", "guards", "lifecycle", "model", "origin"],
        others: "package(tenure-core) | package(tenure-api) | package(tenure-clock)",
    },
    Part {
        name: "ledger",
        is: "the library's calls: ledger, memory, audit, tokens",
        testkit: &[
            "backups",
            "changed_records",
            "conformance",
            "golden",
            "ledger",
            "moves",
            "moves_retained",
            "moving_in",
            "origin",
            "request_ids",
            "retention",
            "searches",
            "sizes",
            "swept",
            "tokens",
            "triage",
        ],
        others: "package(tenure) | package(tenure-store) | package(tenure-api)",
    },
    Part {
        name: "sqlite",
        is: "the store in an SQLite file",
        testkit: &[
            "backups",
            "conformance",
            "costs",
            "faults",
            "kills",
            "ledger",
            "moves",
            "moves_retained",
            "origin",
            "races",
            "retention",
            "sizes",
            "tampering",
            "tampering_table",
            "traces",
            "triage",
            "store_metrics",
        ],
        others: "package(tenure-store) | package(tenure-sqlite)",
    },
    Part {
        name: "postgres",
        is: "the store in PostgreSQL, and the tests' own servers",
        testkit: &[
            "access",
            "backup_kills",
            "backups",
            "command_line",
            "conformance",
            "costs",
            "doctor",
            "fleet",
            "golden_postgres",
            "intake",
            "keep_and_recover",
            "known_tasks",
            "moves",
            "moves_retained",
            "outages",
            "races",
            "retention",
            "rivals",
            "server",
            "sizes",
            "tokens",
            "traces",
            "triage",
        ],
        others: "package(tenure-store) | package(tenure-postgres) | package(tenure-tls)",
    },
    Part {
        name: "remote",
        is: "the store behind servers",
        testkit: &["network", "servers"],
        others: "package(tenure-remote) | (package(tenure-cli) & test(/^far::/))",
    },
    Part {
        name: "keeper",
        is: "leases that are kept",
        testkit: &["keep_and_recover", "keeper", "keeper_calls"],
        others: "package(tenure) & test(/keeper/)",
    },
    Part {
        name: "worker",
        is: "workers, in the library and on the command line",
        testkit: &["crashes", "worker"],
        others: "(package(tenure) & test(/worker/)) | (package(tenure-cli) & test(/^workers::/))",
    },
    Part {
        name: "recovery",
        is: "recovery and its handlers",
        testkit: &["crashes", "keep_and_recover", "recovery", "recovery_loop", "recovery_tries"],
        others: "(package(tenure) & test(/recovery|handler/)) | (package(tenure-cli) & test(/^recovers::/))",
    },
    Part {
        name: "process",
        is: "commands under a lease",
        testkit: &["process"],
        others: "package(tenure-process) | (package(tenure-cli) & test(/^(runs|demo|worked_example)::/))",
    },
    Part {
        name: "server",
        is: "the HTTP API, its access, limits and metrics",
        testkit: &["http", "network"],
        others: "package(tenure-server) | package(tenure-view) | (package(tenure-cli) & test(/^(api|deploy|far|serves|top)::/))",
    },
    Part { name: "cli", is: "the command line", testkit: &["command_line"], others: "package(tenure-cli)" },
    Part {
        name: "docs",
        is: "documents, help and examples",
        testkit: &[],
        others: "(package(tenure-cli) & test(/^(deploy|documents|help|worked_example)::/)) | (package(tenure) & test(/^examples::/))",
    },
    Part { name: "xtask", is: "these commands", testkit: &[], others: "package(xtask)" },
];

impl Part {
    /// The part of that name.
    pub(crate) fn named(name: &str) -> Option<&'static Part> {
        PARTS.iter().find(|part| part.name == name)
    }

    /// All its tests, as nextest names them.
    pub(crate) fn filter(&self) -> String {
        match self.testkit {
            [] => self.others.to_owned(),
            modules => {
                format!("(package(tenure-testkit) & test(/^({})::/)) | ({})", modules.join("|"), self.others)
            }
        }
    }
}

/// Their names with what they are, a line each.
pub(crate) fn described() -> String {
    PARTS.iter().map(|part| format!("  {:<10} {}\n", part.name, part.is)).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_module_of_the_testkits_tests_is_in_a_part_and_every_part_names_modules_that_are_there() {
        let main = include_str!("../../crates/testkit/tests/it/main.rs");
        let there: BTreeSet<&str> =
            main.lines().filter_map(|line| line.strip_prefix("mod ")?.strip_suffix(';')).collect();
        let named: BTreeSet<&str> = PARTS.iter().flat_map(|part| part.testkit).copied().collect();
        assert!(there.len() > 20, "{there:?}");
        assert_eq!(there, named);
    }

    #[test]
    fn a_part_is_found_by_its_name() {
        assert!(Part::named("keeper").is_some_and(|part| part.filter().contains("keeper_calls")));
        assert!(Part::named("nothing").is_none());
    }
}
