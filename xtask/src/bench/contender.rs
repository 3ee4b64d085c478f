//! The programs that are compared: Tenure, the bare engines, and the peers. Each has a command line that is ready, or a
//! reason why it can't run on this machine.

use std::path::PathBuf;

use super::peers::{Peer, PeerServer, PeerStore};
use super::row::{Row, Shape, StoreGroup};

/// The name of Tenure's program, in both groups of stores.
pub(super) const TENURE: &str = "tenure";
/// The name of the program that writes Tenure's tables by hand.
pub(super) const BARE: &str = "bare";

/// A program that was installed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Executable {
    pub(super) program: PathBuf,
    pub(super) arguments: Vec<String>,
    /// Where it runs.
    pub(super) folder: PathBuf,
}

/// What must be there before a program runs, new and empty for each measurement.
#[derive(Clone, Debug)]
pub(super) enum StoreRecipe {
    Folder,
    Database,
    /// A server of the program's own, and the folder in which that was installed.
    Server(PeerServer, PathBuf),
}

/// A program on one kind of store.
pub(super) struct Contender {
    pub(super) name: String,
    /// For people.
    pub(super) title: String,
    /// The home of a project that is not this one.
    pub(super) url: Option<String>,
    pub(super) group: StoreGroup,
    pub(super) shapes: Vec<Shape>,
    /// What it is fastest with: in single calls, in batches of lives, in batches of heartbeats.
    single: CallSize,
    lives: CallSize,
    heartbeats: CallSize,
    pub(super) note: Option<String>,
    pub(super) store: StoreRecipe,
    /// Or why it can't run.
    pub(super) executable: Result<Executable, String>,
}

/// The sizes of one call of a program.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct CallSize {
    pub(super) callers: u32,
    pub(super) batch: u32,
}

impl Contender {
    /// Tenure or the bare engine.
    pub(super) fn own(name: &str, group: StoreGroup, executable: Result<Executable, String>) -> Contender {
        let engine = match group {
            StoreGroup::File => "SQLite",
            StoreGroup::Server => "PostgreSQL",
        };
        let (title, note) = match name {
            TENURE => (format!("Tenure ({engine})"), None),
            _ => {
                let note =
                    "The bare engine writes the same rows to the same tables by hand, without any rule.";
                (format!("bare {engine}, Tenure's tables"), Some(note.to_owned()))
            }
        };
        let store = match group {
            StoreGroup::File => StoreRecipe::Folder,
            StoreGroup::Server => StoreRecipe::Database,
        };
        Contender {
            name: name.to_owned(),
            title,
            url: None,
            group,
            shapes: Shape::ALL.to_vec(),
            single: CallSize { callers: 256, batch: 1 },
            lives: CallSize { callers: 4, batch: 256 },
            heartbeats: CallSize { callers: 4, batch: 1_000 },
            note,
            store,
            executable,
        }
    }

    /// A peer that was prepared: its program, and the folder in which its server was installed.
    pub(super) fn peer(peer: &Peer, prepared: Result<(Executable, PathBuf), String>) -> Contender {
        let (executable, installed) = match prepared {
            Ok((executable, installed)) => (Ok(executable), installed),
            Err(why) => (Err(why), PathBuf::new()),
        };
        let (store, executable) = match (&peer.store, &peer.server) {
            (PeerStore::Folder, _) => (StoreRecipe::Folder, executable),
            (PeerStore::Postgres, _) => (StoreRecipe::Database, executable),
            (PeerStore::Etcd | PeerStore::Restate, Some(server)) => {
                (StoreRecipe::Server(server.clone(), installed), executable)
            }
            (PeerStore::Etcd | PeerStore::Restate, None) => {
                (StoreRecipe::Folder, Err("peers.toml does not say how its server is started".to_owned()))
            }
        };
        let batched = CallSize { callers: peer.callers, batch: peer.batch };
        Contender {
            name: peer.name.clone(),
            title: peer.title.clone(),
            url: Some(peer.url.clone()),
            group: match peer.store {
                PeerStore::Folder => StoreGroup::File,
                PeerStore::Postgres | PeerStore::Etcd | PeerStore::Restate => StoreGroup::Server,
            },
            shapes: peer.shapes.clone(),
            single: CallSize { callers: peer.callers, batch: 1 },
            lives: batched,
            heartbeats: batched,
            note: peer.note.clone(),
            store,
            executable,
        }
    }

    /// Whether it is of this project.
    pub(super) fn is_own(&self) -> bool {
        self.url.is_none()
    }

    pub(super) fn is_in(&self, row: &Row) -> bool {
        self.group == row.group && self.shapes.contains(&row.shape)
    }

    /// The sizes that it is called with in a row.
    pub(super) fn size(&self, row: &Row) -> CallSize {
        let own = match row.shape {
            Shape::Life3 | Shape::Life6 | Shape::Heartbeats | Shape::Claim | Shape::Processes => self.single,
            Shape::Life3Batch | Shape::Life6Batch => self.lives,
            Shape::HeartbeatsBatch => self.heartbeats,
        };
        CallSize { callers: row.callers.unwrap_or(own.callers), ..own }
    }
}

/// The programs of a row that are measured: all that have the shape if `only` is part of the row's name; if it is part of
/// programs' names, these, and Tenure for the ratio.
pub(super) fn chosen<'a>(contenders: &'a [Contender], row: &Row, only: &str) -> Vec<&'a Contender> {
    let of_row: Vec<&Contender> = contenders.iter().filter(|contender| contender.is_in(row)).collect();
    if row.name().contains(only) {
        return of_row;
    }
    let is_named = |contender: &&Contender| contender.name.contains(only);
    if !of_row.iter().any(is_named) {
        return Vec::new();
    }
    of_row.into_iter().filter(|contender| contender.name == TENURE || is_named(contender)).collect()
}

#[cfg(test)]
mod tests {
    use super::super::row::{Scope, rows};
    use super::*;

    fn peer(extra: &str) -> Peer {
        let text = format!(
            "name = \"queue\"\ntitle = \"Queue\"\nurl = \"https://example.org\"\nversion = \"1\"\nkind = \"python\"\n\
             folder = \"queue\"\nprogram = \"bench.py\"\nshapes = [\"life3\", \"life3-batch\"]\ncallers = 10\nbatch = 500\n{extra}"
        );
        toml::from_str(&text).expect("a peer")
    }

    fn row_of(shape: Shape, group: StoreGroup, is_own: fn(&Option<u32>) -> bool) -> Row {
        let found = |row: &Row| row.shape == shape && row.group == group && is_own(&row.callers);
        rows(Scope::Whole).into_iter().find(found).expect("a row")
    }

    #[test]
    fn a_program_has_the_callers_of_the_row_or_its_own() {
        let queue = Contender::peer(&peer("store = \"postgres\""), Err("no python".into()));
        let own = row_of(Shape::Life3, StoreGroup::Server, Option::is_none);
        let fixed = row_of(Shape::Life3, StoreGroup::Server, Option::is_some);
        let batched = row_of(Shape::Life3Batch, StoreGroup::Server, Option::is_none);
        assert_eq!(queue.size(&own), CallSize { callers: 10, batch: 1 });
        assert_eq!(queue.size(&fixed).callers, fixed.callers.expect("fixed"));
        assert_eq!(queue.size(&batched), CallSize { callers: 10, batch: 500 });
        assert_eq!(queue.executable, Err("no python".into()));
        assert!(!queue.is_in(&row_of(Shape::Life3, StoreGroup::File, Option::is_none)));
    }

    #[test]
    fn a_server_that_nobody_described_is_a_reason_not_to_run() {
        let ready = Executable { program: "x".into(), arguments: Vec::new(), folder: ".".into() };
        let etcd = Contender::peer(&peer("store = \"etcd\""), Ok((ready, ".".into())));
        assert!(etcd.executable.expect_err("no server").contains("server"));
    }

    #[test]
    fn only_finds_rows_and_programs() {
        let own = |name, group| Contender::own(name, group, Err(String::new()));
        let all = [
            own(TENURE, StoreGroup::Server),
            own(BARE, StoreGroup::Server),
            own(TENURE, StoreGroup::File),
            Contender::peer(&peer("store = \"postgres\""), Err(String::new())),
        ];
        let names = |row: Row, only| {
            chosen(&all, &row, only).iter().map(|contender| contender.name.clone()).collect::<Vec<_>>()
        };
        let life = row_of(Shape::Life3, StoreGroup::Server, Option::is_none);
        assert_eq!(names(life, ""), [TENURE, BARE, "queue"]);
        assert_eq!(names(life, "life3,"), [TENURE, BARE, "queue"]);
        assert_eq!(names(life, "queue"), [TENURE, "queue"]);
        assert_eq!(names(life, "claim"), [""; 0]);
        assert_eq!(names(row_of(Shape::Claim, StoreGroup::Server, Option::is_some), "queue"), [""; 0]);
    }
}
