//! What a program works on: a folder, a database or a server of its own. Each measurement has a new and empty one, which is
//! removed afterwards.

use std::cell::Cell;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::child::{ProcessGroup, StopFlag, wait_until};
use super::contender::StoreRecipe;
use super::databases::Databases;
use super::peers::{PeerServer, filled};
use crate::run::Result;

/// How long a server of a peer may take until it is ready.
const READY_MAX: Duration = Duration::from_secs(60);

/// Makes stores.
pub(super) struct Stores {
    folder: PathBuf,
    /// Or why there is no PostgreSQL.
    pub(super) databases: std::result::Result<Databases, String>,
    stop: StopFlag,
    count: Cell<u32>,
}

/// A store of one measurement. It is removed when this is dropped.
pub(super) enum BenchStore<'a> {
    Folder(TakenFolder),
    Database { databases: &'a Databases, name: String },
    Server { address: String, _process: ProcessGroup, _folder: TakenFolder },
}

/// A folder that is removed with this.
pub(super) struct TakenFolder(PathBuf);

impl Drop for TakenFolder {
    fn drop(&mut self) {
        if let Err(why) = std::fs::remove_dir_all(&self.0) {
            println!("{} can't be removed: {why}", self.0.display());
        }
    }
}

impl Drop for BenchStore<'_> {
    fn drop(&mut self) {
        if let BenchStore::Database { databases, name } = self
            && let Err(why) = databases.drop_database(name)
        {
            println!("the database {name} stays: {why}");
        }
    }
}

impl BenchStore<'_> {
    /// The value of `--store`.
    pub(super) fn address(&self) -> String {
        match self {
            BenchStore::Folder(folder) => folder.0.display().to_string(),
            BenchStore::Database { databases, name } => databases.url(name),
            BenchStore::Server { address, .. } => address.clone(),
        }
    }
}

impl Stores {
    /// Stores in files are below this folder, which must be on a disk.
    pub(super) fn new(
        folder: &Path,
        databases: std::result::Result<Databases, String>,
        stop: StopFlag,
    ) -> Stores {
        Stores { folder: folder.to_path_buf(), databases, stop, count: Cell::new(0) }
    }

    /// An error says why the program can't run here.
    pub(super) fn make(&self, recipe: &StoreRecipe) -> Result<BenchStore<'_>> {
        self.count.set(self.count.get() + 1);
        match recipe {
            StoreRecipe::Folder => Ok(BenchStore::Folder(self.folder()?)),
            StoreRecipe::Database => {
                let databases = self.databases.as_ref().map_err(String::as_str)?;
                let name = format!("tenure_bench_{}_{}", std::process::id(), self.count.get());
                databases.create(&name)?;
                Ok(BenchStore::Database { databases, name })
            }
            StoreRecipe::Server(server, installed) => self.start(server, installed),
        }
    }

    fn folder(&self) -> Result<TakenFolder> {
        let name = format!("tenure-bench-{}-{}", std::process::id(), self.count.get());
        let folder = self.folder.join(name);
        std::fs::create_dir(&folder).map_err(|why| format!("{}: {why}", folder.display()))?;
        Ok(TakenFolder(folder))
    }

    fn start(&self, server: &PeerServer, installed: &Path) -> Result<BenchStore<'_>> {
        let folder = self.folder()?;
        let mut values = vec![
            ("installed".to_owned(), installed.display().to_string()),
            ("folder".to_owned(), folder.0.display().to_string()),
        ];
        let ports = free_ports(server.ports)?;
        for (at, port) in ports.iter().enumerate() {
            let name = if at == 0 { "port".to_owned() } else { format!("port{}", at + 1) };
            values.push((name, port.to_string()));
        }
        let words: Vec<String> = server.command.iter().map(|word| filled(word, &values)).collect();
        let [program, arguments @ ..] = &words[..] else { return Err("its server has no command".into()) };
        let log = std::fs::File::create(folder.0.join("server.log"))?;
        let mut command = Command::new(program);
        command.args(arguments).current_dir(&folder.0).stdout(log.try_clone()?).stderr(log);
        command.envs(server.env.iter().map(|(name, value)| (name, filled(value, &values))));
        let mut process = ProcessGroup::spawn(&mut command).map_err(|why| format!("its server: {why}"))?;
        let ready = filled(&server.ready, &values);
        let waited = wait_until(READY_MAX, &self.stop, || match process.ended()? {
            None => Ok(is_ready(&ready)),
            Some(status) => Err(format!("it ended with {status}").into()),
        });
        if let Err(why) = waited {
            let log = std::fs::read_to_string(folder.0.join("server.log")).unwrap_or_default();
            let last = log.lines().last().unwrap_or_default();
            return Err(format!("its server: {why} {last}").trim().into());
        }
        let address = filled(&server.address, &values);
        Ok(BenchStore::Server { address, _process: process, _folder: folder })
    }
}

/// All are held until the last is found, so that they differ.
fn free_ports(count: usize) -> Result<Vec<u16>> {
    let listeners: std::io::Result<Vec<TcpListener>> =
        (0..count).map(|_| TcpListener::bind("127.0.0.1:0")).collect();
    let ports: std::io::Result<Vec<u16>> =
        listeners?.iter().map(|listener| Ok(listener.local_addr()?.port())).collect();
    Ok(ports?)
}

/// Whether a GET of that URL answers 200. A client library would be one for this line.
fn is_ready(url: &str) -> bool {
    let get = || -> Option<String> {
        let (host, path) = url.strip_prefix("http://")?.split_once('/')?;
        let mut stream = TcpStream::connect(host).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(1))).ok()?;
        write!(stream, "GET /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").ok()?;
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).ok()?;
        Some(String::from_utf8_lossy(&answer).into_owned())
    };
    get().is_some_and(|answer| answer.starts_with("HTTP/1.") && answer.ends_with(" 200"))
}

#[cfg(test)]
mod tests {
    use super::super::peers::ServerInstall;
    use super::*;

    fn stores(name: &str) -> Stores {
        let folder = std::env::temp_dir().join(format!("tenure-bench-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        Stores::new(&folder, Err("no psql".to_owned()), StopFlag::default())
    }

    fn server(script: &str) -> StoreRecipe {
        let server = PeerServer {
            install: ServerInstall::Debian,
            debian: Vec::new(),
            ports: 2,
            command: ["sh", "-c", script].map(str::to_owned).to_vec(),
            env: [("PORT".to_owned(), "{port2}".to_owned())].into(),
            address: "one:{port},two:{port2}".to_owned(),
            ready: "http://127.0.0.1:{port2}/health".to_owned(),
        };
        StoreRecipe::Server(server, PathBuf::new())
    }

    #[test]
    fn a_folder_is_new_each_time_and_goes_with_its_measurement() {
        let stores = stores("folders");
        let one = stores.make(&StoreRecipe::Folder).expect("a folder");
        let two = stores.make(&StoreRecipe::Folder).expect("a folder");
        assert_ne!(one.address(), two.address());
        let path = PathBuf::from(one.address());
        std::fs::write(path.join("a"), "b").expect("written");
        drop((one, two));
        assert!(!path.exists());
        std::fs::remove_dir(&stores.folder).expect("nothing is left");
    }

    #[test]
    fn a_server_is_ready_when_it_answers_and_goes_with_its_measurement() {
        let stores = stores("servers");
        let script = "printf x > {folder}/data; exec python3 -c 'import http.server as h, os
class Ready(h.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers()
h.HTTPServer((\"127.0.0.1\", int(os.environ[\"PORT\"])), Ready).serve_forever()'";
        let store = stores.make(&server(script)).expect("a server");
        let port = store.address().rsplit(':').next().expect("a port").to_owned();
        assert!(is_ready(&format!("http://127.0.0.1:{port}/")));
        drop(store);
        assert!(!is_ready(&format!("http://127.0.0.1:{port}/")));
        std::fs::remove_dir(&stores.folder).expect("nothing is left");
    }

    #[test]
    fn what_can_not_be_started_says_why() {
        let stores = stores("absent");
        let why = |recipe: &StoreRecipe| stores.make(recipe).err().expect("no store").to_string();
        assert_eq!(why(&StoreRecipe::Database), "no psql");
        let said = why(&server("echo the port is taken; exit 7"));
        assert!(said.contains("7") && said.contains("the port is taken"), "{said}");
        std::fs::remove_dir(&stores.folder).expect("nothing is left");
    }
}
