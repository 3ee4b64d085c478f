//! Tests the help texts: each command says what it does, when to use it, and has an example that parses.

use clap::Command;
use insta::assert_snapshot;
use tenure_cli::command;

use crate::frozen::{Frozen, split};

/// Every command without subcommands, with its full name.
fn commands() -> Vec<(Vec<String>, Command)> {
    fn below(path: Vec<String>, command: &Command, found: &mut Vec<(Vec<String>, Command)>) {
        let children: Vec<_> = command.get_subcommands().filter(|child| child.get_name() != "help").collect();
        if children.is_empty() {
            found.push((path, command.clone()));
            return;
        }
        for child in children {
            let path = path.iter().cloned().chain([child.get_name().to_owned()]).collect();
            below(path, child, found);
        }
    }
    let mut found = Vec::new();
    let mut tenure = command();
    tenure.build();
    below(vec!["tenure".to_owned()], &tenure, &mut found);
    found
}

#[test]
fn every_command_says_what_it_does_when_to_use_it_and_shows_an_example_that_parses() {
    let commands = commands();
    assert!(commands.len() >= 30, "there are {}", commands.len());
    for (path, found) in commands {
        let name = path.join(" ");
        let about = found.get_about().map(ToString::to_string).unwrap_or_default();
        let long = found.get_long_about().map(ToString::to_string).unwrap_or_default();
        assert!(!about.is_empty() && !about.ends_with('.'), "{name}: what it does: {about}");
        assert!(long.contains("Use it "), "{name}: when to use it: {long}");
        let examples = found.get_after_help().map(ToString::to_string).unwrap_or_default();
        let lines: Vec<&str> = examples.lines().skip_while(|line| *line != "Example:").skip(1).collect();
        assert!(!lines.is_empty(), "{name}: an example");
        for line in lines.iter().filter(|line| line.starts_with("  ")) {
            assert!(line.len() <= 98, "{name}: a terminal would break it: {line}");
            let calls: Vec<&str> = line.split(['|', '>', '&']).map(str::trim).collect();
            let calls: Vec<&str> = calls.into_iter().filter(|call| call.starts_with("tenure ")).collect();
            assert!(calls.iter().any(|call| call.starts_with(&name)), "{name}: {line}");
            for call in calls {
                let words = split(call);
                command().try_get_matches_from(words).unwrap_or_else(|error| panic!("{call}: {error}"));
            }
        }
    }
}

#[test]
fn every_option_and_argument_is_explained() {
    for (path, found) in commands() {
        for argument in found.get_arguments() {
            let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
            assert!(!help.is_empty(), "{}: {}", path.join(" "), argument.get_id());
        }
    }
}

#[test]
fn help_shows_what_there_is() {
    let world = Frozen::world();
    assert_snapshot!(
        world.tells(
            r#"
            --help
            task --help
            task create -h
            help task undo settle
            token create -h
            "#
        ),
        @"
    $ tenure --help
    The durable record of who is working on what, until when, and how to undo it

    Usage: tenure [OPTIONS] <COMMAND>

    Commands:
      demo         Show how a killed worker's task is undone and redone
      serve        Run the HTTP API, recovery and metrics in one process
      run          Run any command under a lease
      worker       Claim tasks from a queue, and run a command for each
      recover      Recover stale tasks and undo what they left
      task         Create, list, lease and end tasks
      status       Show open, stale, quarantined and unsuccessful tasks, and recovery
      top          Watch tasks live in the terminal: states, leases, stale tasks, triage
      stale        List tasks whose lease or reservation has lapsed
      owners       List the owners of leases and reservations
      events       Show the history, oldest first
      audit        Verify the history, and write anchors to verify it against
      doctor       Examine the store: what is wrong, and the command that mends it
      backup       Write a verified backup of the store to a new file, while others work
      restore      Make a new store of a backup, and say what was lost
      export       Write the whole store to standard output, to import it into another one
      import       Import what `tenure export` wrote
      prune        Delete tasks that ended long ago
      migrate      Bring a store to the schema of this version of Tenure
      namespace    List the namespaces of a store
      token        Create, list and revoke the tokens that servers require
      bench        Measure the disk, the database and the network of a store
      completions  Print a shell completion script
      man          Print or write manual pages
      help         Print this message or the help of the given subcommand(s)

    Options:
      -h, --help
              Print help (see a summary with '-h')

      -V, --version
              Print version

    Global options:
          --store <URL>
              Store to use: sqlite:PATH, postgres://USER@HOST/DATABASE, http://HOST:PORT for a server
              (http://a:7117,b:7117 for several), or memory: to keep nothing
              
              [default: tenure.db in the user's data directory]
              [env: TENURE_STORE]

          --store-patience <DURATION>
              How long to retry while PostgreSQL or the servers can't be reached; the same as
              `patience=` in the URL
              
              [default: 30s for writes to PostgreSQL, 2s for servers]

          --namespace <NAME>
              Namespace; ids are unique within one
              
              [default: default]
              [env: TENURE_NAMESPACE]

      -o, --format <FORMAT>
              Output format: a table, or JSON (one document; lists and streams print one per line)
              
              [default: table]
              [possible values: table, json]

          --request-id <ID>
              Id of this request: a repeat with the same id within 7 days returns the first answer and
              changes nothing

          --token <TOKEN>
              Token to send to a server; other stores need none. TENURE_TOKEN_FILE names a file to read
              it from
              
              [env: TENURE_TOKEN]

          --config <FILE>
              Settings file in TOML: `store`, `namespace`, `[serve]`, `[undo.KIND]`
              
              [env: TENURE_CONFIG]

      -q, --quiet
              Print only what scripts need, such as ids, or the epoch of an acquire; no notes

      -v, --verbose
              Print which store, namespace and actor are used

    First steps:
      tenure demo
      tenure task create --id build-42 --undo remove-worktree=/tmp/wt-42
      tenure task acquire build-42 --owner w1 --ttl 60s
      tenure task complete build-42 --owner w1 --epoch 1

    Exit status:
      0  done
      1  failed
      2  wrong usage
      3  refused
      4  not found
      5  unavailable: nothing was done
      6  unknown: repeat the command with the same --request-id
    $ tenure task --help
    Create, list, lease and end tasks

    Usage: tenure task [OPTIONS] <COMMAND>

    Commands:
      create      Create a task
      show        Show everything that is stored about a task
      list        List tasks, newest first
      why         Explain in one sentence why a task is in its state
      wait        Wait until a task ends
      acquire     Acquire the lease of a task
      claim       Claim the next due tasks of a queue
      heartbeat   Renew a lease
      progress    Report progress without renewing the lease
      release     Release a lease before the work is done
      complete    Complete a task
      fail        Fail a task for good, without undoing anything
      rollback    Give up the work and have it undone
      quarantine  Quarantine a task until a person decides
      cancel      Ask a task to stop
      compensate  Close a task that was undone by hand
      note        Add a note to a task
      label       Set and remove labels of a task that has not ended
      set         Change a task that nobody holds
      retry       Retry a failed, compensated or quarantined task as a new task
      undo        Register what to undo, and settle, adopt or list it
      help        Print this message or the help of the given subcommand(s)

    Options:
      -h, --help
              Print help (see a summary with '-h')

    Global options:
          --store <URL>
              Store to use: sqlite:PATH, postgres://USER@HOST/DATABASE, http://HOST:PORT for a server
              (http://a:7117,b:7117 for several), or memory: to keep nothing
              
              [default: tenure.db in the user's data directory]
              [env: TENURE_STORE]

          --store-patience <DURATION>
              How long to retry while PostgreSQL or the servers can't be reached; the same as
              `patience=` in the URL
              
              [default: 30s for writes to PostgreSQL, 2s for servers]

          --namespace <NAME>
              Namespace; ids are unique within one
              
              [default: default]
              [env: TENURE_NAMESPACE]

      -o, --format <FORMAT>
              Output format: a table, or JSON (one document; lists and streams print one per line)
              
              [default: table]
              [possible values: table, json]

          --request-id <ID>
              Id of this request: a repeat with the same id within 7 days returns the first answer and
              changes nothing

          --token <TOKEN>
              Token to send to a server; other stores need none. TENURE_TOKEN_FILE names a file to read
              it from
              
              [env: TENURE_TOKEN]

          --config <FILE>
              Settings file in TOML: `store`, `namespace`, `[serve]`, `[undo.KIND]`
              
              [env: TENURE_CONFIG]

      -q, --quiet
              Print only what scripts need, such as ids, or the epoch of an acquire; no notes

      -v, --verbose
              Print which store, namespace and actor are used

    Advanced:
      dispatch    Reserve a task for one owner
      put         Write a whole task record from JSON

    The holder of a lease acts with --owner and --epoch. An operator acts without them, with --as and
    --reason.
    $ tenure task create -h
    Create a task

    Usage: tenure task create [OPTIONS]

    Options:
          --id <ID>             Task id [default: a new id, which is printed]
          --from-file <FILE>    Create many tasks from a file with one task per line, as JSON like the
                                body of `POST …/tasks`; - for standard input. If a line is malformed, no
                                task is created; if one is refused, the others are still created
          --as <WHO>            Name to record as the actor [default: the owner of the lease, or the
                                login name]
          --queue <QUEUE>       Queue to put the task in; workers claim from queues by name [default:
                                default, or run for `tenure run`]
          --kind <KIND>         Kind of task, a free name [default: task]
          --label <KEY=VALUE>   Label to find the task by. Can be repeated
          --payload <JSON>      Input for the work: JSON, @FILE or @-
          --priority <NUMBER>   Priority in the queue; higher ones are claimed first [default: 0]
          --not-before <TIME>   Time before which the task can't be acquired or claimed, with an offset,
                                such as 2026-01-31T12:00:00Z
          --delay <DURATION>    How long from now the task can't be acquired or claimed, such as 10m
          --undo <KIND=TARGET>  How to undo a side effect: the handler, and after the first = the
                                target. Can be repeated
          --undo-reason <TEXT>  Reason for the --undo before it; also @FILE or @-
      -h, --help                Print help (see more with '--help')

    Advanced:
          --saga <SAGA>  Second unique name, for the task's saga [default: the task id]

    Policy:
          --ttl <DURATION>            How long a lease lasts unless it is renewed, 1s to 7d [default:
                                      60s]
          --max-attempts <COUNT>      Maximum number of attempts [default: 1]
          --on-lapse <ACTION>         What to do when a lease lapses: undo and try again (recover), wait
                                      for somebody to acquire it (hold), quarantine it, or recover it
                                      unless somebody acquires it first (either) [default: recover]
                                      [possible values: recover, hold, quarantine, either]
          --recover-after <DURATION>  How long after a lapse recovery leaves the task to others, with
                                      --on-lapse either [default: off]
          --when-spent <STATE>        State of the task when it has no attempts left [default:
                                      compensated] [possible values: compensated, quarantined]
          --stall-after <DURATION>    Maximum time without progress: heartbeats don't extend the lease
                                      beyond it [default: off]
          --time-limit <DURATION>     Maximum time of an attempt: heartbeats don't extend the lease
                                      beyond it [default: off]
          --start-within <DURATION>   Maximum time until the first attempt begins, once the task is
                                      created and due [default: off]
          --lock-delay <DURATION>     How long takeover and recovery wait after a lease lapses, for side
                                      effects that can't be fenced [default: off]
          --cancel-grace <DURATION>   How long a holder that was told to stop can still renew its lease
                                      [default: off]
          --backoff-base <DURATION>   Wait after the first attempt [default: 1s]
          --backoff-factor <FACTOR>   Factor by which each further wait is longer [default: 2]
          --backoff-cap <DURATION>    Longest wait between attempts [default: 5m]
          --on-failure <ACTION>       What becomes of the task if its holder fails it: fail closes it,
                                      quarantine parks it for a person [default: fail] [possible values:
                                      fail, quarantine]

    Global options:
          --store <URL>       Store to use: sqlite:PATH, postgres://USER@HOST/DATABASE, http://HOST:PORT
                              for a server (http://a:7117,b:7117 for several), or memory: to keep
                              nothing [default: tenure.db in the user's data directory] [env:
                              TENURE_STORE]
          --namespace <NAME>  Namespace; ids are unique within one [default: default] [env:
                              TENURE_NAMESPACE]
      -o, --format <FORMAT>   Output format: a table, or JSON (one document; lists and streams print one
                              per line) [default: table] [possible values: table, json]
          --request-id <ID>   Id of this request: a repeat with the same id within 7 days returns the
                              first answer and changes nothing
      -q, --quiet             Print only what scripts need, such as ids, or the epoch of an acquire; no
                              notes
      -v, --verbose           Print which store, namespace and actor are used

    Example:
      tenure task create --id build-42 --queue agents --undo remove-worktree=/tmp/wt-42
      tenure task create --from-file tasks.jsonl
    $ tenure help task undo settle
    Record that an undo ran, failed, or is waived

    Use it with --receipt after an undo that ran, with --error after one that failed, or with --waive
    for one that need not run. The holder gives --owner and --epoch. An operator gives a receipt without
    them after undoing it by hand; only an operator can waive.

    Usage: tenure task undo settle [OPTIONS] <--receipt <TEXT>|--error <TEXT>|--waive> [ID] [NUMBER]

    Arguments:
      [ID]
              Task id
              
              [env: TENURE_TASK]

      [NUMBER]
              Number of the compensation, as `tenure task undo list` shows it

    Options:
          --owner <OWNER>
              Owner of the lease
              
              [env: TENURE_OWNER]

          --epoch <EPOCH>
              Epoch of the lease, as acquire printed it
              
              [env: TENURE_EPOCH]

          --receipt <TEXT>
              Proof that the undo ran; also @FILE or @-

          --error <TEXT>
              Why the undo failed; also @FILE or @-

          --waive
              Record that the undo need not run, for the given --reason

          --reason <TEXT>
              Why it is waived, or was undone by hand; also @FILE or @-
              
              [default: the receipt]

          --as <WHO>
              Name to record as the actor
              
              [default: the owner of the lease, or the login name]

      -h, --help
              Print help (see a summary with '-h')

    Global options:
          --store <URL>
              Store to use: sqlite:PATH, postgres://USER@HOST/DATABASE, http://HOST:PORT for a server
              (http://a:7117,b:7117 for several), or memory: to keep nothing
              
              [default: tenure.db in the user's data directory]
              [env: TENURE_STORE]

          --store-patience <DURATION>
              How long to retry while PostgreSQL or the servers can't be reached; the same as
              `patience=` in the URL
              
              [default: 30s for writes to PostgreSQL, 2s for servers]

          --namespace <NAME>
              Namespace; ids are unique within one
              
              [default: default]
              [env: TENURE_NAMESPACE]

      -o, --format <FORMAT>
              Output format: a table, or JSON (one document; lists and streams print one per line)
              
              [default: table]
              [possible values: table, json]

          --request-id <ID>
              Id of this request: a repeat with the same id within 7 days returns the first answer and
              changes nothing

          --token <TOKEN>
              Token to send to a server; other stores need none. TENURE_TOKEN_FILE names a file to read
              it from
              
              [env: TENURE_TOKEN]

          --config <FILE>
              Settings file in TOML: `store`, `namespace`, `[serve]`, `[undo.KIND]`
              
              [env: TENURE_CONFIG]

      -q, --quiet
              Print only what scripts need, such as ids, or the epoch of an acquire; no notes

      -v, --verbose
              Print which store, namespace and actor are used

    Example:
      tenure task undo settle build-42 1 --owner w1 --epoch 1 --receipt 'closed'
      tenure task undo settle build-42 1 --as alice --receipt 'closed by hand'
      tenure task undo settle build-42 1 --as alice --waive --reason 'gone already'
    $ tenure token create -h
    Create a token and show its secret once

    Usage: tenure token create [OPTIONS] --name <NAME> --role <ROLE>

    Options:
          --name <NAME>         Name of the token, recorded as the actor; unique among live tokens
          --role <ROLE>         What the token allows: reader reads; worker also creates tasks and uses
                                its own leases; operator acts on all tasks; admin also manages tokens
                                [possible values: reader, worker, operator, admin]
          --expires <DURATION>  How long the token is live, 1s to 3650d [default: until it is revoked]
          --namespace <NAME>    Namespace that the token is bound to, or '*' for all. Can be repeated
                                [default: default] [env: TENURE_NAMESPACE]
          --as <WHO>            Name to record as the actor [default: the owner of the lease, or the
                                login name]
      -h, --help                Print help (see more with '--help')

    Global options:
          --store <URL>      Store to use: sqlite:PATH, postgres://USER@HOST/DATABASE, http://HOST:PORT
                             for a server (http://a:7117,b:7117 for several), or memory: to keep nothing
                             [default: tenure.db in the user's data directory] [env: TENURE_STORE]
      -o, --format <FORMAT>  Output format: a table, or JSON (one document; lists and streams print one
                             per line) [default: table] [possible values: table, json]
          --request-id <ID>  Id of this request: a repeat with the same id within 7 days returns the
                             first answer and changes nothing
      -q, --quiet            Print only what scripts need, such as ids, or the epoch of an acquire; no
                             notes
      -v, --verbose          Print which store, namespace and actor are used

    Example:
      tenure token create --name ci --role worker --expires 90d
      tenure token create --name alice --role admin --namespace '*'
    "
    );
}

#[test]
fn there_is_a_manual_page_for_every_command() {
    let world = Frozen::world();
    let folder = world.path("man");
    assert_eq!(world.run(&format!("man --dir {folder}")).status, 0);
    for (path, _) in commands() {
        let page = std::fs::read_to_string(format!("{folder}/{}.1", path.join("-"))).expect("a page");
        assert!(page.contains(".SH NAME") && page.contains("Example:"), "{page}");
    }
    assert!(world.run("man task acquire").out.contains(".TH tenure-task-acquire 1"));
}

#[test]
fn there_are_completions_for_five_shells() {
    let world = Frozen::world();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = world.run(&format!("completions {shell}"));
        assert!(script.status == 0 && script.out.contains("TENURE_COMPLETE"), "{shell}: {}", script.out);
    }
}
