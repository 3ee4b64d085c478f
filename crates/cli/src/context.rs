//! What a running command has at hand: its ledger, its input and output, and what goes for all commands.

use std::io::Read;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tenure::Ledger;
use tenure::chance::Chance;
use tenure::clock::Clock;
use tenure::core::command::Holder;
use tenure::core::id::{Epoch, Owner};
use tenure::ledger::{Call, Verb};
use tenure::store::sqlite::Missing;

use crate::arguments::Global;
use crate::config::Config;
use crate::failure::Failure;
use crate::output::Output;
use crate::values::{ByLease, ByOperator};
use crate::world::Variables;

/// The part of the world that a command has besides its output.
pub(crate) struct Surroundings<'w> {
    pub(crate) variables: Variables,
    pub(crate) input: &'w mut dyn Read,
    pub(crate) reader_is_gone: &'w dyn Fn() -> bool,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) chance: Arc<dyn Chance>,
}

/// What a running command has at hand.
pub(crate) struct Context<'a, 'w> {
    pub(crate) out: &'a mut Output<'w>,
    pub(crate) around: Surroundings<'w>,
    store: String,
    namespace: String,
    request_id: Option<String>,
    /// Whether standard input was read: there is only one.
    pub(crate) input_is_read: bool,
}

impl<'a, 'w> Context<'a, 'w> {
    pub(crate) fn new(
        global: Global,
        around: Surroundings<'w>,
        out: &'a mut Output<'w>,
    ) -> Result<Context<'a, 'w>, Failure> {
        let Settings { store, namespace } = Settings::of(&global, &around.variables)?;
        if global.token.is_some() {
            out.note("this store is on this machine and asks for no token; --token is not used");
        }
        Ok(Context { out, around, store, namespace, request_id: global.request_id, input_is_read: false })
    }

    /// The store, made where it is missing.
    pub(crate) async fn ledger(&mut self) -> Result<Ledger, Failure> {
        self.open(Missing::Make).await
    }

    /// The store, if there is one: who verifies a history must not be told that an empty one holds.
    pub(crate) async fn existing_ledger(&mut self) -> Result<Ledger, Failure> {
        self.open(Missing::Refuse).await
    }

    async fn open(&mut self, missing: Missing) -> Result<Ledger, Failure> {
        let actor = login_name(&self.around.variables);
        self.out.detail(&format!("store {}, namespace {}, as {actor}", self.store, self.namespace));
        if self.store == "memory:" {
            self.out.note("memory: is gone when this command ends");
        }
        let opener = Ledger::opener().clock(Arc::clone(&self.around.clock)).missing(missing);
        let ledger = opener.chance(Arc::clone(&self.around.chance)).open(&self.store).await?;
        Ok(ledger.in_namespace(&self.namespace)?)
    }

    pub(crate) fn variable(&self, name: &str) -> Option<String> {
        variable(&self.around.variables, name)
    }

    /// The task that is meant: as it was given, or as the environment of a running command says.
    pub(crate) fn task_id(&mut self, given: Option<String>) -> Result<String, Failure> {
        let id = given.or_else(|| self.variable("TENURE_TASK"));
        let id =
            id.ok_or_else(|| Failure::Usage("which task? Give its ID, or set TENURE_TASK".to_owned()))?;
        self.out.is_about(&id);
        Ok(id)
    }

    /// The task and what is given behind it, where the task may be left out and what follows may not.
    pub(crate) fn task_id_before(
        &mut self,
        first: Option<String>,
        second: Option<String>,
        what: &str,
    ) -> Result<(String, String), Failure> {
        match (first, second, self.variable("TENURE_TASK")) {
            (Some(id), Some(value), _) | (Some(value), None, Some(id)) => {
                Ok((self.task_id(Some(id))?, value))
            }
            (Some(_), None, None) | (None, _, Some(_)) => Err(Failure::Usage(format!("{what} is missing"))),
            (None, _, None) => Err(Failure::Usage(format!("give the ID of the task, and {what}"))),
        }
    }

    /// The lease by which a command is given, if it is: by its words, or by the environment of a running command, where
    /// that is about the same task and nobody says that it is a person's.
    pub(crate) fn holder(
        &self,
        task: &str,
        lease: &ByLease,
        by: &ByOperator,
    ) -> Result<Option<Holder>, Failure> {
        match by.who {
            Some(_) => given(lease),
            None => self.holder_of_environment(task, lease),
        }
    }

    /// The same for a command that only a holder may give.
    pub(crate) fn the_holder(&self, task: &str, lease: &ByLease) -> Result<Holder, Failure> {
        let unnamed = "by which lease? Give --owner and --epoch, as the acquire answered them";
        let holder = self.holder_of_environment(task, lease)?;
        holder.ok_or_else(|| Failure::Usage(unnamed.to_owned()))
    }

    fn holder_of_environment(&self, task: &str, lease: &ByLease) -> Result<Option<Holder>, Failure> {
        if let Some(holder) = given(lease)? {
            return Ok(Some(holder));
        }
        let namespace = self.variable("TENURE_NAMESPACE");
        let is_here = namespace.as_deref().unwrap_or(tenure::ledger::DEFAULT_NAMESPACE) == self.namespace;
        if !is_here || self.variable("TENURE_TASK").as_deref() != Some(task) {
            return Ok(None);
        }
        let (Some(owner), Some(epoch)) = (self.variable("TENURE_OWNER"), self.variable("TENURE_EPOCH"))
        else {
            return Ok(None);
        };
        let epoch = epoch.parse().map_err(|_| Failure::Usage("TENURE_EPOCH must be a number".to_owned()))?;
        Ok(Some(Holder { owner: Owner::new(owner)?, epoch: Epoch(epoch) }))
    }

    /// A call by a person: as whom it was said, or by the login name.
    pub(crate) fn by_operator<V: Verb>(&self, call: Call<V>, who: &ByOperator) -> Call<V> {
        let login = || login_name(&self.around.variables);
        self.named(call.acting_as(&who.who.clone().unwrap_or_else(login)))
    }

    /// A call by whoever holds the lease, who acts under the owner's name unless another is given.
    pub(crate) fn by_holder<V: Verb>(&self, call: Call<V>, who: &ByOperator) -> Call<V> {
        self.named(match &who.who {
            Some(who) => call.acting_as(who),
            None => call,
        })
    }

    /// With the request id, if there is one.
    pub(crate) fn named<V: Verb>(&self, call: Call<V>) -> Call<V> {
        match &self.request_id {
            Some(id) => call.request_id(id),
            None => call,
        }
    }

    pub(crate) fn request_id(&self) -> Option<&str> {
        self.request_id.as_deref()
    }
}

/// Which store and which room: as the command line says, else the environment, else the file with settings.
pub(crate) struct Settings {
    pub(crate) store: String,
    pub(crate) namespace: String,
}

impl Settings {
    pub(crate) fn of(global: &Global, variables: &Variables) -> Result<Settings, Failure> {
        let config = match global.config.clone().or_else(|| variable(variables, "TENURE_CONFIG")) {
            Some(path) => Config::read(&path)?,
            None => Config::default(),
        };
        let store = global.store.clone().or_else(|| variable(variables, "TENURE_STORE")).or(config.store);
        let namespace = global.namespace.clone().or_else(|| variable(variables, "TENURE_NAMESPACE"));
        let namespace = namespace.or(config.namespace);
        Ok(Settings {
            store: store.map_or_else(|| default_store(variables), Ok)?,
            namespace: namespace.unwrap_or_else(|| tenure::ledger::DEFAULT_NAMESPACE.to_owned()),
        })
    }
}

fn given(lease: &ByLease) -> Result<Option<Holder>, Failure> {
    let (Some(owner), Some(epoch)) = (&lease.owner, lease.epoch) else { return Ok(None) };
    Ok(Some(Holder { owner: Owner::new(owner.as_str())?, epoch: Epoch(epoch) }))
}

pub(crate) fn variable(variables: &Variables, name: &str) -> Option<String> {
    let value = variables.get(name)?.to_str()?;
    (!value.is_empty()).then(|| value.to_owned())
}

/// Who is at the keyboard, as the environment says; it is recorded, not proven.
fn login_name(variables: &Variables) -> String {
    let named = ["LOGNAME", "USER"].into_iter().find_map(|name| variable(variables, name));
    let user = rustix::process::getuid().as_raw().to_string();
    named.or_else(|| name_of(&user)).unwrap_or_else(|| format!("uid:{user}"))
}

/// The name of a user by number, where the environment was cleared and the machine keeps a list.
fn name_of(user: &str) -> Option<String> {
    let users = std::fs::read_to_string("/etc/passwd").ok()?;
    let mut fields = users.lines().map(|line| line.split(':'));
    fields.find_map(|mut fields| {
        let name = fields.next()?;
        (fields.nth(1)? == user).then(|| name.to_owned())
    })
}

/// `tenure.db` in the user's data directory, by the rules for base directories of desktops.
fn default_store(variables: &Variables) -> Result<String, Failure> {
    let unnamed = "where is the record kept? Give --store sqlite:PATH, or set TENURE_STORE (HOME is not set)";
    let file = default_file(variables).ok_or_else(|| Failure::Usage(unnamed.to_owned()))?;
    if let Some(folder) = file.parent() {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(|error| {
            Failure::Failed(format!(
                "can't make the folder {} for the record: {error}; give --store sqlite:PATH, or set TENURE_STORE",
                folder.display()
            ))
        })?;
    }
    Ok(format!("sqlite:{}", file.display()))
}

fn default_file(variables: &Variables) -> Option<PathBuf> {
    let data = variables.get("XDG_DATA_HOME").map(PathBuf::from).filter(|folder| folder.is_absolute());
    let home = || variables.get("HOME").filter(|home| !home.is_empty());
    let data = data.or_else(|| Some(Path::new(home()?).join(".local/share")))?;
    Some(data.join("tenure").join("tenure.db"))
}
