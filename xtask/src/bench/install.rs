//! Builds Tenure's program and installs those of the peers. What can't be installed is a reason that the report names; it
//! does not end the run.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use super::child::{StopFlag, finish};
use super::contender::Executable;
use super::peers::{Peer, PeerKind, ServerInstall, filled};
use super::row::Scope;
use crate::run::{self, Result};
use crate::{debian, python};

/// Compiling all Rust peers takes most of it.
const INSTALL_MAX: Duration = Duration::from_secs(40 * 60);

/// Where things are, and what is asked.
pub(super) struct Installer<'a> {
    pub(super) root: &'a Path,
    /// Where peers are installed.
    pub(super) folder: PathBuf,
    /// Where peers.toml is.
    pub(super) peers: PathBuf,
    pub(super) scope: Scope,
    pub(super) stop: StopFlag,
}

/// A path that Cargo prints.
pub(super) fn build_own_program(root: &Path) -> Result<PathBuf> {
    let build = ["bench", "-p", "tenure", "--features", "postgres", "--bench", "program", "--no-run"];
    println!("cargo {}", build.join(" "));
    let mut command = run::command(root, "cargo", &[&build[..], &["--message-format=json"]].concat());
    // What the compiler says is for the person who waits.
    let output = command.stderr(std::process::Stdio::inherit()).output()?;
    if !output.status.success() {
        return Err("Tenure's program can't be built".into());
    }
    let program = executable_in(&String::from_utf8_lossy(&output.stdout), "program");
    program.ok_or_else(|| "Cargo built no bench `program`".into())
}

/// Of Cargo's messages, one in each line.
fn executable_in(messages: &str, name: &str) -> Option<PathBuf> {
    let executable = |line: &str| {
        let message: Value = serde_json::from_str(line).ok()?;
        let is_it = message["reason"] == "compiler-artifact" && message["target"]["name"] == name;
        message["executable"].as_str().filter(|_| is_it).map(PathBuf::from)
    };
    messages.lines().rev().find_map(executable)
}

impl Installer<'_> {
    /// The program of a peer, and the folder in which its server was installed.
    pub(super) fn install(&self, peer: &Peer) -> std::result::Result<(Executable, PathBuf), String> {
        if self.stop.is_set() {
            return Err("interrupted".to_owned());
        }
        let source = self.source(peer);
        if !source.is_dir() {
            return Err(format!("its folder {} is missing", source.display()));
        }
        println!("installs {}", peer.name);
        let installed = match peer.kind {
            PeerKind::Python => self.python(peer),
            PeerKind::Node => self.node(peer),
            PeerKind::Cargo => self.cargo(peer),
        };
        let server = installed.and_then(|executable| Ok((self.server(peer, &executable)?, executable)));
        server.map(|(server, executable)| (executable, server)).map_err(|why| {
            println!("{} is not run: {why}", peer.name);
            why.to_string()
        })
    }

    fn python(&self, peer: &Peer) -> Result<Executable> {
        let source = self.source(peer);
        let requirements = source.join("requirements.txt");
        let program = match requirements.is_file() {
            true => {
                let environment = self.folder.join("python").join(&peer.name);
                python::environment_of(self.root, &environment, &requirements)?;
                environment.join("bin/python")
            }
            false => PathBuf::from("python3"),
        };
        // Its cache would be written into the checkout.
        let arguments = vec!["-B".to_owned(), peer.program.clone()];
        Ok(Executable { program, arguments, folder: source })
    }

    /// In a copy, as npm installs into the folder of the program. The copy also has what the programs share.
    fn node(&self, peer: &Peer) -> Result<Executable> {
        let copies = self.folder.join("node");
        let copy = copies.join(&peer.folder);
        let shared = self.peers.join("common");
        if shared.is_dir() {
            copy_folder(&shared, &copies.join("common"))?;
        }
        copy_folder(&self.source(peer), &copy)?;
        let (lock, installed) = (copy.join("package-lock.json"), copy.join("installed"));
        let wanted = std::fs::read(&lock).map_err(|why| format!("{}: {why}", lock.display()))?;
        if !std::fs::read(&installed).is_ok_and(|installed| installed == wanted) {
            let options = ["ci", "--no-audit", "--no-fund", "--loglevel", "error"];
            self.run(run::command(&copy, "npm", &options))?;
            std::fs::write(installed, wanted)?;
        }
        let runtime =
            peer.runtime.as_ref().map_or_else(|| PathBuf::from("node"), |runtime| copy.join(runtime));
        Ok(Executable { program: runtime, arguments: vec![peer.program.clone()], folder: copy })
    }

    /// All Rust peers share a target folder, as they share dependencies.
    fn cargo(&self, peer: &Peer) -> Result<Executable> {
        let source = self.source(peer);
        let target = self.folder.join("rust");
        let program = target.join("release").join(&peer.program);
        if self.scope == Scope::Quick && !program.is_file() {
            return Err("it is not built yet, which takes minutes; a run without --quick builds it".into());
        }
        let mut build =
            run::command(&source, "cargo", &["build", "--release", "--locked", "--bin", &peer.program]);
        build.env("CARGO_TARGET_DIR", &target);
        if let Some(needs) = &peer.build {
            let installed = self.unpacked(&peer.name, &needs.debian)?;
            let values = [("installed".to_owned(), installed.display().to_string())];
            build.envs(needs.env.iter().map(|(name, value)| (name, filled(value, &values))));
        }
        self.run(build)?;
        Ok(Executable { program, arguments: Vec::new(), folder: source })
    }

    fn server(&self, peer: &Peer, executable: &Executable) -> Result<PathBuf> {
        match peer.server.as_ref().map(|server| (server.install, &server.debian)) {
            Some((ServerInstall::Debian, packages)) => {
                self.unpacked(&format!("{}-server", peer.name), packages)
            }
            Some((ServerInstall::Npm, _)) | None => Ok(executable.folder.clone()),
        }
    }

    /// A folder with these Debian packages.
    fn unpacked(&self, name: &str, packages: &[String]) -> Result<PathBuf> {
        let folder = self.folder.join("debian").join(name);
        let (unpacked, wanted) = (folder.join("packages"), packages.join("\n"));
        if packages.is_empty() || std::fs::read_to_string(&unpacked).is_ok_and(|there| there == wanted) {
            return Ok(folder);
        }
        debian::unpack(&folder, &packages.iter().map(String::as_str).collect::<Vec<_>>())?;
        std::fs::write(unpacked, wanted)?;
        Ok(folder)
    }

    fn source(&self, peer: &Peer) -> PathBuf {
        self.peers.join(&peer.folder)
    }

    fn run(&self, mut command: Command) -> Result<()> {
        let finished = finish(&mut command, INSTALL_MAX, &self.stop)?;
        let name = command.get_program().display().to_string();
        if finished.status.success() { Ok(()) } else { Err(format!("{name}: {}", finished.reason()).into()) }
    }
}

/// What npm installed there stays.
fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from).map_err(|why| format!("{}: {why}", from.display()))? {
        let entry = entry?;
        let copy = to.join(entry.file_name());
        match entry.file_type()?.is_dir() {
            true if entry.file_name() == OsStr::new("node_modules") => {}
            true => copy_folder(&entry.path(), &copy)?,
            false => drop(std::fs::copy(entry.path(), copy)?),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(kind: &str, folder: &str) -> Peer {
        let text = format!(
            "name = \"queue\"\ntitle = \"Queue\"\nurl = \"u\"\nversion = \"1\"\nkind = \"{kind}\"\nfolder = \"{folder}\"\n\
             program = \"bench\"\nstore = \"folder\"\nshapes = []\ncallers = 1\nbatch = 1\n"
        );
        toml::from_str(&text).expect("a peer")
    }

    #[test]
    fn what_can_not_be_installed_has_a_reason() {
        let folder = std::env::temp_dir().join(format!("tenure-bench-install-{}", std::process::id()));
        let installer = Installer {
            root: Path::new("."),
            folder: folder.clone(),
            peers: folder.clone(),
            scope: Scope::Quick,
            stop: StopFlag::default(),
        };
        for there in ["plain", "unlocked"] {
            std::fs::create_dir_all(folder.join(there)).expect("a folder");
        }
        let why = |peer: &Peer| installer.install(peer).expect_err("not installed");
        assert!(why(&peer("cargo", "plain")).contains("--quick"));
        assert!(why(&peer("node", "unlocked")).contains("package-lock.json"));
        assert!(why(&peer("python", "absent")).contains("absent is missing"));
        let (program, _) = installer.install(&peer("python", "plain")).expect("nothing to install");
        assert_eq!((program.program, program.folder), (PathBuf::from("python3"), folder.join("plain")));
        let _ = std::fs::remove_dir_all(folder);
    }

    #[test]
    fn the_built_program_is_found_among_cargos_messages() {
        let messages = "{\"reason\":\"compiler-artifact\",\"target\":{\"name\":\"tenure\"},\"executable\":null}\n\
            {\"reason\":\"compiler-artifact\",\"target\":{\"name\":\"program\"},\"executable\":\"/t/program-1\"}\n\
            {\"reason\":\"build-finished\",\"success\":true}\n";
        assert_eq!(executable_in(messages, "program"), Some(PathBuf::from("/t/program-1")));
        assert_eq!(executable_in(messages, "tenure"), None);
    }

    #[test]
    fn a_copy_has_all_but_installed_packages() {
        let folder = std::env::temp_dir().join(format!("tenure-bench-copy-{}", std::process::id()));
        for (path, text) in [("from/a/b", "1"), ("from/node_modules/c", "2"), ("to/node_modules/d", "3")] {
            let path = folder.join(path);
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
            std::fs::write(path, text).expect("written");
        }
        copy_folder(&folder.join("from"), &folder.join("to")).expect("copied");
        let has = |path: &str| folder.join("to").join(path).is_file();
        assert!(has("a/b") && has("node_modules/d") && !has("node_modules/c"));
        std::fs::remove_dir_all(folder).expect("removed");
    }
}
