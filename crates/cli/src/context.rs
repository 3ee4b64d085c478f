//! What a command needs while it runs: the store, the settings, the input and the output.

use std::io::Read;
use std::sync::Arc;

use tenure::Ledger;
use tenure::clock::{Clock, SystemClock};
use tenure::core::command::Holder;
use tenure::core::id::{Actor, Epoch, Owner};
use tenure::core::task::Task;
use tenure::core::time::Time;
use tenure::entropy::Entropy;
use tenure::instant::print_seconds;
use tenure::ledger::url_without_secrets;
use tenure::ledger::{Call, LedgerBuilder, Verb};
use tenure::store::{IfMissing, StoreAccess};

use crate::error::CliError;
use crate::global::Global;
use crate::io::{Variables, variable};
use crate::output::Output;
use crate::store::{
    StoreSelection, default_store, file_of, is_database, is_one_store, is_served, make_folder, store_url,
};
use crate::supervise::{Place, TaskNote};
use crate::values::{ByLease, ByOperator};

/// The environment, input, clock and entropy of a command.
pub(crate) struct Environment<'w> {
    pub(crate) variables: Variables,
    pub(crate) input: &'w mut dyn Read,
    pub(crate) reader_is_gone: &'w dyn Fn() -> bool,
    pub(crate) clock: Option<Arc<dyn Clock>>,
    pub(crate) entropy: Arc<dyn Entropy>,
}

/// The context in which a command runs.
pub(crate) struct Context<'a, 'w> {
    pub(crate) out: &'a mut Output<'w>,
    pub(crate) around: Environment<'w>,
    global: Global,
    /// Whether standard input was read already: it can be read only once.
    pub(crate) input_is_read: bool,
}

impl<'a, 'w> Context<'a, 'w> {
    pub(crate) fn new(global: Global, around: Environment<'w>, out: &'a mut Output<'w>) -> Context<'a, 'w> {
        Context { out, around, global, input_is_read: false }
    }

    /// Opens the store, and creates it if it is missing.
    pub(crate) async fn ledger(&mut self) -> Result<Ledger, CliError> {
        self.open(IfMissing::Make).await
    }

    /// Opens the store for reading. A mistyped path must not look like an empty store.
    pub(crate) async fn ledger_to_read(&mut self) -> Result<Ledger, CliError> {
        let store = self.settings()?.store;
        if store.as_deref().is_some_and(is_database) {
            // Only commands that write create a schema: a reader may not be allowed to, and a mistyped one would stay.
            return self.existing_ledger().await;
        }
        let (ledger, _) = self.ledger_with_note_if_created().await?;
        Ok(ledger)
    }

    /// Opens the store to look for work in it. It says so if it creates an empty file, and checks that a server answers.
    pub(crate) async fn ledger_with_work(&mut self) -> Result<Ledger, CliError> {
        let (ledger, url) = self.ledger_with_note_if_created().await?;
        if is_served(&url) {
            ledger.now().await?;
        }
        Ok(ledger)
    }

    /// Opens the store, and returns its URL, too. A missing file is created, with a note.
    async fn ledger_with_note_if_created(&mut self) -> Result<(Ledger, String), CliError> {
        let url = self.store_of(&self.settings()?)?;
        let missing = url
            .strip_prefix("sqlite:")
            .map(file_of)
            .filter(|file| std::fs::metadata(file).map_or(true, |found| found.len() == 0));
        let ledger = self.open(IfMissing::Make).await?;
        if let Some(file) = missing {
            self.out.note(&format!("there was no store at {}; created an empty one", file.display()));
        }
        Ok((ledger, url))
    }

    /// Whether a store is given on the command line, and not only by a variable or a file.
    pub(crate) fn has_store_option(&self) -> bool {
        self.global.store.is_some()
    }

    /// Whether the store is reached through servers.
    pub(crate) fn is_store_served(&self) -> Result<bool, CliError> {
        Ok(is_served(&self.store_of(&self.settings()?)?))
    }

    /// Opens the store only if it exists: a new, empty store must not pass for a verified history.
    pub(crate) async fn existing_ledger(&mut self) -> Result<Ledger, CliError> {
        self.open(IfMissing::Refuse).await
    }

    /// The same for a command that only verifies. It may look at a backup, in which nobody may work.
    pub(crate) async fn ledger_to_verify(&mut self) -> Result<Ledger, CliError> {
        let settings = self.settings()?;
        let url = self.store_of(&settings)?;
        if tenure::backup::mark_of(&url).await.is_ok_and(|mark| mark.is_some()) {
            let namespace = settings.namespace().to_owned();
            let ledger = self.opener(None).access(StoreAccess::ReadOnly).open(&url).await?;
            return Ok(ledger.in_namespace(&namespace)?);
        }
        self.existing_ledger().await
    }

    /// The store, the namespace and the settings file in effect.
    pub(crate) fn settings(&self) -> Result<StoreSelection, CliError> {
        StoreSelection::of(&self.global, &self.around.variables)
    }

    /// The namespaces given to a command that takes several; without any, the one in effect. They don't change the
    /// namespace that the ledger uses: `*` is not one.
    pub(crate) fn namespaces_said(&mut self, said: Vec<String>) -> Result<Vec<String>, CliError> {
        self.global.namespace.clear();
        match said.is_empty() {
            true => Ok(vec![self.settings()?.namespace().to_owned()]),
            false => Ok(said),
        }
    }

    pub(crate) fn request_id(&self) -> Option<&str> {
        self.global.request_id.as_deref()
    }

    pub(crate) fn has_request_id(&self) -> bool {
        self.global.request_id.is_some()
    }

    /// The URL of the store.
    pub(crate) fn store_of(&self, settings: &StoreSelection) -> Result<String, CliError> {
        let url = match &settings.store {
            Some(store) => store_url(store),
            None => default_store(&self.around.variables)?,
        };
        let Some(patience) = &self.global.store_patience else { return Ok(url) };
        if !["postgres", "http"].iter().any(|scheme| url.starts_with(scheme)) {
            let words = "--store-patience is only for PostgreSQL and for servers";
            return Err(CliError::Usage(words.into()));
        }
        let joint = if url.contains('?') { '&' } else { '?' };
        Ok(format!("{url}{joint}patience={patience}"))
    }

    /// The URL of the store with an absolute path, for child processes. A memory store is refused: they could not see it.
    pub(crate) fn store_for_others(&self) -> Result<String, CliError> {
        let url = self.store_of(&self.settings()?)?;
        let Some(rest) = url.strip_prefix("sqlite:") else {
            let words = "a memory: store exists only in this process; a command under a lease needs one that others can open";
            return if url == "memory:" { Err(CliError::Usage(words.into())) } else { Ok(url) };
        };
        let file = file_of(rest);
        let path = std::path::absolute(file)
            .map_err(|error| CliError::Failed(format!("{}: {error}", file.display())))?;
        let query = rest.split_once('?').map(|(_, query)| format!("?{query}")).unwrap_or_default();
        Ok(format!("sqlite:{}{query}", path.display()))
    }

    async fn open(&mut self, missing: IfMissing) -> Result<Ledger, CliError> {
        let settings = self.settings()?;
        let (namespace, is_default) = (settings.namespace().to_owned(), settings.store.is_none());
        let url = self.store_of(&settings)?;
        if is_default && missing == IfMissing::Make {
            make_folder(&url)?;
        }
        let token = if is_served(&url) { self.token()? } else { None };
        let actor = match &token {
            // Only the server knows the token's name.
            Some(_) => "the token's name".to_owned(),
            None => login_name(&self.around.variables),
        };
        self.out.detail(&format!("store {}, namespace {namespace}, as {actor}", url_without_secrets(&url)));
        if url == "memory:" {
            self.out.note("the memory: store is gone when this command ends");
        }
        if self.global.token.is_some() && !is_served(&url) {
            self.out.note("--token is ignored: this store needs no token");
        }
        let ledger = self.opened(&url, missing, token).await?;
        Ok(ledger.in_namespace(&namespace)?)
    }

    /// Opens a store that is not the one in effect, and creates it if it is missing.
    pub(crate) async fn ledger_at(&self, url: &str) -> Result<Ledger, CliError> {
        self.opened(url, IfMissing::Make, None).await
    }

    async fn opened(&self, url: &str, missing: IfMissing, token: Option<String>) -> Result<Ledger, CliError> {
        Ok(self.opener(token).missing(missing).open(url).await?)
    }

    fn opener(&self, token: Option<String>) -> LedgerBuilder {
        let mut opener = Ledger::builder();
        if let Some(token) = token {
            opener = opener.token(&token);
        }
        let opener = match &self.around.clock {
            Some(clock) => opener.clock(Arc::clone(clock)),
            None => opener,
        };
        opener.entropy(Arc::clone(&self.around.entropy))
    }

    /// What opens the store, and its URL, for a command that must change nothing: not even the directory of the default store is
    /// created.
    pub(crate) fn store_to_look_at(
        &mut self,
        settings: &StoreSelection,
    ) -> Result<(LedgerBuilder, String), CliError> {
        let url = self.store_of(settings)?;
        let token = if is_served(&url) { self.token()? } else { None };
        self.out.detail(&format!("store {}", url_without_secrets(&url)));
        Ok((self.opener(token), url))
    }

    /// The token for a server: --token, else TENURE_TOKEN, else the content of the file that TENURE_TOKEN_FILE names.
    pub(crate) fn token(&self) -> Result<Option<String>, CliError> {
        if let Some(token) = self.global.token.clone().or_else(|| self.variable("TENURE_TOKEN")) {
            return Ok(Some(token));
        }
        let Some(file) = self.variable("TENURE_TOKEN_FILE") else { return Ok(None) };
        let text = std::fs::read_to_string(&file)
            .map_err(|error| CliError::Usage(format!("TENURE_TOKEN_FILE: can't read {file}: {error}")))?;
        Ok(Some(text.trim().to_owned()))
    }

    /// What a command under a lease needs to find its task.
    pub(crate) fn place(&self, store: &str, ledger: &Ledger) -> Place {
        let (store, namespace) = (store.to_owned(), ledger.namespace().to_string());
        Place { store, namespace, token: self.global.token.clone() }
    }

    /// The time of this machine's clock.
    pub(crate) fn wall(&self) -> Time {
        self.clock().read().wall
    }

    /// This machine's clock.
    pub(crate) fn clock(&self) -> Arc<dyn Clock> {
        self.around.clock.clone().unwrap_or_else(|| Arc::new(SystemClock::default()))
    }

    /// Prints a note about a task, with the time of this machine's clock.
    pub(crate) fn note_of_task(&mut self, note: &TaskNote) {
        let now = print_seconds(self.wall());
        self.out.note(&format!("{now} {note}"));
    }

    /// The store's time, for printing a task after a command. The command is done, so failing to read the clock is no
    /// error: the time of the task's last change is used then.
    pub(crate) async fn moment(&self, ledger: &Ledger, task: Option<&Task>) -> Time {
        let at_least = task.map_or(Time::MIN, |task| task.updated_at);
        ledger.now().await.unwrap_or(at_least)
    }

    pub(crate) fn variable(&self, name: &str) -> Option<String> {
        variable(&self.around.variables, name)
    }

    /// The task id as it was given, else TENURE_TASK.
    pub(crate) fn task_id(&mut self, given: Option<String>) -> Result<String, CliError> {
        let id = given.or_else(|| self.variable("TENURE_TASK"));
        let id =
            id.ok_or_else(|| CliError::Usage("no task given: pass its ID, or set TENURE_TASK".to_owned()))?;
        self.out.is_about(&id);
        Ok(id)
    }

    /// The task id and the argument after it. The id can be left out if TENURE_TASK is set; the argument can't.
    pub(crate) fn task_id_before(
        &mut self,
        first: Option<String>,
        second: Option<String>,
        what: &str,
    ) -> Result<(String, String), CliError> {
        match (first, second, self.variable("TENURE_TASK")) {
            (Some(id), Some(value), _) | (Some(value), None, Some(id)) => {
                Ok((self.task_id(Some(id))?, value))
            }
            (Some(_), None, None) | (None, _, Some(_)) => Err(CliError::Usage(format!("{what} is missing"))),
            (None, _, None) => Err(CliError::Usage(format!("the task ID and {what} are missing"))),
        }
    }

    /// The lease by which the command acts, from its options or the environment; none for an operator. A process that has
    /// a lease in its environment acts by it, and is fenced, unless --as is given.
    pub(crate) fn holder(
        &self,
        task: &str,
        lease: &ByLease,
        by: &ByOperator,
    ) -> Result<Option<Holder>, CliError> {
        match (&lease.owner, lease.epoch, &by.who) {
            (None, None, Some(_)) => Ok(None),
            _ => self.lease(task, lease),
        }
    }

    /// The same for a command that only the holder of a lease can give.
    pub(crate) fn the_holder(&self, task: &str, lease: &ByLease) -> Result<Holder, CliError> {
        let unnamed = "no lease given: pass --owner and --epoch, as acquire printed them";
        self.lease(task, lease)?.ok_or_else(|| CliError::Usage(unnamed.to_owned()))
    }

    /// Checks that an operator gives the command: a process with a lease in its environment is a worker unless --as is
    /// given.
    pub(crate) fn is_a_person(&self, by: &ByOperator) -> Result<(), CliError> {
        let is_worker =
            ["TENURE_OWNER", "TENURE_EPOCH"].iter().any(|name| self.around.variables.contains_key(*name));
        if is_worker && by.who.is_none() {
            let words = "only an operator can do this, but TENURE_OWNER and TENURE_EPOCH of a worker are set: pass --as";
            return Err(CliError::Usage(words.to_owned()));
        }
        Ok(())
    }

    /// Owner and epoch, each from its option, else from the environment.
    fn lease(&self, task: &str, said: &ByLease) -> Result<Option<Holder>, CliError> {
        let owner = match &said.owner {
            Some(owner) => Some(owner.clone()),
            None => self.lease_variable("TENURE_OWNER")?,
        };
        let epoch = match said.epoch {
            Some(epoch) => Some(epoch),
            None => {
                let number = |_| CliError::Usage("TENURE_EPOCH must be a number".to_owned());
                self.lease_variable("TENURE_EPOCH")?.map(|epoch| epoch.parse().map_err(number)).transpose()?
            }
        };
        let (owner, epoch) = match (owner, epoch) {
            (Some(owner), Some(epoch)) => (owner, epoch),
            (None, None) => return Ok(None),
            (Some(_), None) => {
                return Err(half_a_lease("an owner but no epoch", "--epoch or set TENURE_EPOCH"));
            }
            (None, Some(_)) => {
                return Err(half_a_lease("an epoch but no owner", "--owner or set TENURE_OWNER"));
            }
        };
        let is_said = said.owner.is_some() && said.epoch.is_some();
        if !is_said && !self.is_about_the_environment(task)? {
            let words = "TENURE_OWNER and TENURE_EPOCH belong to a lease on another task, store or namespace: \
                         pass --owner and --epoch, or --as to act as an operator";
            return Err(CliError::Usage(words.to_owned()));
        }
        Ok(Some(Holder { owner: Owner::new(owner)?, epoch: Epoch(epoch) }))
    }

    /// One part of a lease from the environment. An empty variable is what a failed acquire leaves behind in a script.
    fn lease_variable(&self, name: &str) -> Result<Option<String>, CliError> {
        let is_set = self.around.variables.contains_key(name);
        match self.variable(name) {
            None if is_set => {
                Err(CliError::Usage(format!("{name} is set but empty; was the task acquired?")))
            }
            said => Ok(said),
        }
    }

    /// Whether the command is about the task, store and namespace of the environment: the same id elsewhere is another
    /// task.
    fn is_about_the_environment(&self, task: &str) -> Result<bool, CliError> {
        let namespace = |said| {
            let global = Global { namespace: Vec::from_iter(said), ..self.global.clone() };
            StoreSelection::of(&global, &self.around.variables)
                .map(|settings| settings.namespace().to_owned())
        };
        let is_here = namespace(self.global.namespace.first().cloned())? == namespace(None)?;
        let is_its_store = match (&self.global.store, self.variable("TENURE_STORE")) {
            (Some(said), Some(its)) => is_one_store(said, &its),
            (_, _) => true,
        };
        Ok(is_here && is_its_store && self.variable("TENURE_TASK").is_none_or(|its| its == task))
    }

    /// The actor of a command without a lease: the name given with --as, else the login name.
    pub(crate) fn person(&self, who: &ByOperator) -> String {
        who.who.clone().unwrap_or_else(|| login_name(&self.around.variables))
    }

    /// Makes the call as an operator, under the name given with --as or the login name.
    pub(crate) fn by_operator<V: Verb>(&self, call: Call<V>, who: &ByOperator) -> Call<V> {
        self.named(call.acting_as(&self.person(who)))
    }

    /// Makes the call as the holder of the lease, under the owner's name unless --as is given.
    pub(crate) fn by_holder<V: Verb>(&self, call: Call<V>, who: &ByOperator) -> Call<V> {
        self.named(match &who.who {
            Some(who) => call.acting_as(who),
            None => call,
        })
    }

    /// Adds the request id, if there is one.
    pub(crate) fn named<V: Verb>(&self, call: Call<V>) -> Call<V> {
        match &self.global.request_id {
            Some(id) => call.request_id(id),
            None => call,
        }
    }
}

fn half_a_lease(what: &str, missing: &str) -> CliError {
    CliError::Usage(format!("the lease has {what}: pass {missing}, or pass --as to act as an operator"))
}

/// The login name from the environment; it is recorded, not verified. Characters that an actor can't have become dashes,
/// so that a name like `CORP\alice` works.
fn login_name(variables: &Variables) -> String {
    let user = rustix::process::getuid().as_raw().to_string();
    let named = ["LOGNAME", "USER"].into_iter().find_map(|name| variable(variables, name));
    let name = named.or_else(|| name_of(&user)).unwrap_or_default();
    let may_stand = |c: char| c.is_ascii_alphanumeric() || "-_.:@+/".contains(c);
    let name: String = name.chars().map(|c| if may_stand(c) { c } else { '-' }).collect();
    if Actor::new(name.as_str()).is_ok() { name } else { format!("uid:{user}") }
}

/// The name of a user id in /etc/passwd, for when the environment was cleared.
fn name_of(user: &str) -> Option<String> {
    let users = std::fs::read_to_string("/etc/passwd").ok()?;
    let mut fields = users.lines().map(|line| line.split(':'));
    fields.find_map(|mut fields| {
        let name = fields.next()?;
        (fields.nth(1)? == user).then(|| name.to_owned())
    })
}
