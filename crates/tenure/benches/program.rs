//! The program with which `cargo xtask bench` measures Tenure and the bare engines; bench/README.md has its contract.
//!
//! It does one shape of work on one store, compares with what is stored then, and prints a line of JSON.
#![expect(clippy::disallowed_methods, reason = "a bench measures real time")]
// A bench prints, and stops where it is surprised.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, clippy::print_stderr, missing_docs)]

mod bare {
    pub(crate) mod postgres;
    pub(crate) mod sqlite;
    pub(crate) mod work;
}
mod common {
    pub(crate) mod fill;
    pub(crate) mod life;
}
mod contract {
    pub(crate) mod arguments;
    pub(crate) mod claims;
    pub(crate) mod ledger;
    pub(crate) mod output;
    pub(crate) mod processes;
    pub(crate) mod stored;
}

use std::process::ExitCode;
use std::time::Duration;

use tenure::Ledger;

use bare::postgres::Tables;
use bare::work::{Measured, Work};
use bare::{postgres, sqlite};
use contract::arguments::{Arguments, Calls, NotRun, Shape, Side};
use contract::stored::Store;
use contract::{claims, ledger, output, processes};

/// After it, connections are open and caches are filled.
const WARM_UP: Duration = Duration::from_millis(300);
/// Where Tenure makes its tables.
const SCHEMA: &str = "tenure";

fn main() -> ExitCode {
    // A surprise in any thread ends the program, and its reason is what the driver shows.
    std::panic::set_hook(Box::new(|surprise| {
        eprintln!("{surprise}");
        std::process::exit(1);
    }));
    let words: Vec<String> = std::env::args().skip(1).collect();
    if let [processes::BESIDE_OTHERS, words @ ..] = &words.iter().map(String::as_str).collect::<Vec<_>>()[..]
    {
        processes::work_beside_others(words);
        return ExitCode::SUCCESS;
    }
    match Arguments::read(words.into_iter()) {
        Ok(arguments) => {
            run(&arguments);
            ExitCode::SUCCESS
        }
        Err(NotRun { why, code }) => {
            eprintln!("{why}");
            ExitCode::from(code)
        }
    }
}

fn run(arguments: &Arguments) {
    let Arguments { side, store, shape, .. } = arguments;
    store.expect_new_and_durable();
    let measured = match side {
        Side::Tenure => of_tenure(arguments),
        Side::Bare => of_bare_engine(arguments),
    };
    let found = match shape {
        Shape::Lives(..) | Shape::Claim | Shape::Processes => store.expect_completed(measured.completed),
        Shape::Heartbeats(_) => store.expect_renewed(&measured.renewed),
    };
    let checked = format!("{found}; {}", store.durable_by(*side));
    output::print(&store.version(*side), measured, &checked);
}

fn of_tenure(arguments: &Arguments) -> Measured {
    let (tasks, work) = (arguments.tasks, work(arguments));
    if let Shape::Processes = arguments.shape {
        return processes::processes(&arguments.store.url(), tasks, work);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let ledger = Ledger::open(&arguments.store.url()).await.expect("opens");
        match arguments.shape {
            Shape::Lives(life, _) => ledger::lives(&ledger, tasks, life, work).await,
            Shape::Heartbeats(_) => ledger::heartbeats(&ledger, tasks, work).await,
            Shape::Claim => claims::claims(&ledger, tasks, work).await,
            Shape::Processes => unreachable!("each process has a runtime of its own"),
        }
    })
}

fn of_bare_engine(arguments: &Arguments) -> Measured {
    let (tasks, shape, work) = (arguments.tasks, arguments.shape, work(arguments));
    match &arguments.store {
        Store::Folder(_) => {
            let file = arguments.store.file();
            match shape {
                Shape::Lives(life, _) => sqlite::lives(&file, tasks, life, work),
                Shape::Heartbeats(_) => sqlite::heartbeats(&file, tasks, work),
                Shape::Claim | Shape::Processes => unreachable!("the bare engine has no such shape"),
            }
        }
        Store::Server(url) => {
            // The ledger makes its tables when it is opened.
            postgres::runtime().block_on(async { drop(Ledger::open(url).await.expect("opens")) });
            let tables = Tables { url, schema: SCHEMA };
            match shape {
                Shape::Lives(life, _) => postgres::lives(tables, tasks, life, work),
                Shape::Heartbeats(_) => postgres::heartbeats(tables, tasks, work),
                Shape::Claim | Shape::Processes => unreachable!("the bare engine has no such shape"),
            }
        }
    }
}

fn work(arguments: &Arguments) -> Work {
    let batch = match arguments.shape {
        Shape::Lives(_, Calls::Batched) | Shape::Heartbeats(Calls::Batched) => Some(arguments.batch),
        Shape::Lives(_, Calls::Single)
        | Shape::Heartbeats(Calls::Single)
        | Shape::Claim
        | Shape::Processes => None,
    };
    let Arguments { callers, seconds, callers_are, .. } = *arguments;
    Work { callers, batch, warm_up: WARM_UP, seconds, callers_are }
}
