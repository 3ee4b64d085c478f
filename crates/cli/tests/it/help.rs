//! Help that teaches: each command says what it is for, when to use it, and shows an example that works.

use clap::Command;
use insta::assert_snapshot;
use tenure_cli::command;

use crate::frozen::{Frozen, split};

/// Every command that does something, with its words.
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
      demo         Watch a worker die, its work undone, and done again by another
      serve        Serve the record to other machines, and look after what is stale
      run          Run any command under a lease
      worker       Claim tasks from a queue, and run a command for each
      recover      Look after stale tasks, and undo what they left
      task         Create tasks, hold them, and end them
      status       Show what is in flight, stale or quarantined, what did not succeed, and who looks
                   after it
      stale        List tasks whose lease or reservation has lapsed
      owners       List who holds what
      events       Show the history, oldest first
      audit        Verify the history, and remember what it is
      namespace    The namespaces of a store, in which ids are unique
      token        Make and revoke tokens, which servers ask for
      completions  Write what makes a shell complete commands and the names that are stored
      man          Write manual pages
      help         Print this message or the help of the given subcommand(s)

    Options:
      -h, --help
              Print help (see a summary with '-h')

      -V, --version
              Print version

    Global options:
          --store <URL>
              Where the record is kept: `sqlite:PATH`, `postgres://USER@HOST/DATABASE`,
              `http://HOST:PORT` for a server or several, `http://a:7117,b:7117`, or `memory:` for
              nothing that lasts [else: TENURE_STORE, or tenure.db in the user's data directory]

          --store-patience <DURATION>
              How long to retry a database or servers that are away [default: 30s for writes to
              PostgreSQL, 2s for servers; or `patience=` in the URL]

          --namespace <NAME>
              The room in which ids are unique [else: TENURE_NAMESPACE, or `default`]

      -o, --format <FORM>
              Tables for people, or JSON: one document, or one a line for lists and streams
              
              [default: table]
              [possible values: table, json]

          --request-id <ID>
              Names the command, so that a repeat within 7 days is answered as the first was and not
              done again

          --token <TOKEN>
              A token, for a store behind a server; a file asks for none [else: TENURE_TOKEN, or the
              file that TENURE_TOKEN_FILE names]

          --config <FILE>
              A file with settings in TOML: `store`, `namespace`, `[undo.KIND]` [else: TENURE_CONFIG]

      -q, --quiet
              Only what a script needs: ids of lists and new tasks, the epoch of an acquire; no notes

      -v, --verbose
              Also say which store and namespace are used, and as whom

    First steps:
      tenure demo
      tenure task create --id build-42 --undo remove-worktree=/tmp/wt-42
      tenure task acquire build-42 --owner w1 --ttl 60s
      tenure task complete build-42 --owner w1 --epoch 1

    Status: 0 done; 1 failed; 2 wrong usage; 3 refused; 4 not found; 5 unavailable, surely not done;
            6 unknown, repeat it with the same --request-id.
    $ tenure task --help
    Create tasks, hold them, and end them

    Usage: tenure task [OPTIONS] <COMMAND>

    Commands:
      create      Create a task
      show        Show all of a task
      list        List tasks, the newest first
      why         Say in one sentence why a task is where it is
      wait        Wait until a task ends
      acquire     Take a lease on a task by its name
      claim       Take leases on the next due tasks of a queue
      heartbeat   Renew a lease
      progress    Report progress without renewing the lease
      release     Give a lease back
      complete    End a task as done
      fail        Close a task for good, undoing nothing
      rollback    Give the work up and have it undone
      quarantine  Park a task for a person
      cancel      Ask for a task to stop
      compensate  Close a task as undone
      note        Leave a note on a task
      retry       Make a new task of one that failed, was undone or is parked
      undo        Say how to undo what the work does, and that it was undone
      help        Print this message or the help of the given subcommand(s)

    Options:
      -h, --help
              Print help (see a summary with '-h')

    Global options:
          --store <URL>
              Where the record is kept: `sqlite:PATH`, `postgres://USER@HOST/DATABASE`,
              `http://HOST:PORT` for a server or several, `http://a:7117,b:7117`, or `memory:` for
              nothing that lasts [else: TENURE_STORE, or tenure.db in the user's data directory]

          --store-patience <DURATION>
              How long to retry a database or servers that are away [default: 30s for writes to
              PostgreSQL, 2s for servers; or `patience=` in the URL]

          --namespace <NAME>
              The room in which ids are unique [else: TENURE_NAMESPACE, or `default`]

      -o, --format <FORM>
              Tables for people, or JSON: one document, or one a line for lists and streams
              
              [default: table]
              [possible values: table, json]

          --request-id <ID>
              Names the command, so that a repeat within 7 days is answered as the first was and not
              done again

          --token <TOKEN>
              A token, for a store behind a server; a file asks for none [else: TENURE_TOKEN, or the
              file that TENURE_TOKEN_FILE names]

          --config <FILE>
              A file with settings in TOML: `store`, `namespace`, `[undo.KIND]` [else: TENURE_CONFIG]

      -q, --quiet
              Only what a script needs: ids of lists and new tasks, the epoch of an acquire; no notes

      -v, --verbose
              Also say which store and namespace are used, and as whom

    Advanced:
      dispatch    Reserve a task for one owner
      put         Write a whole record, from JSON

    Verbs by lease take --owner and --epoch. Without them a verb is by a person, with --as and --reason.
    $ tenure task create -h
    Create a task

    Usage: tenure task create [OPTIONS]

    Options:
          --id <ID>             Its name [else: one is made and printed]
          --from-file <FILE>    Many tasks, each as JSON on a line of its own, as `POST …/tasks` takes
                                it; `-` for standard input. Either every line is well-formed, or none is
                                created; one that is refused stops no other
          --queue <QUEUE>       Where workers claim it from [else: default, and of `tenure run` the
                                queue run, which no worker claims unless it says so]
          --kind <KIND>         What sort of task it is [else: task]
          --label <KEY=VALUE>   Something to find it by. May be repeated
          --payload <JSON>      What is needed to do it: JSON, @FILE or @-
          --priority <NUMBER>   Which of a queue's due tasks go first: the higher ones
          --not-before <TIME>   Not to be acquired or claimed earlier: a time with an offset, such as
                                2026-01-31T12:00:00Z
          --delay <DURATION>    Not to be acquired or claimed before this long from now, such as 10m
          --undo <KIND=TARGET>  How to undo a side effect; all after the first `=` is the target. May be
                                repeated
          --undo-reason <TEXT>  Why the undo before it is registered; also @FILE or @-
      -h, --help                Print help (see more with '--help')

    Policy:
          --ttl <DURATION>           How long a lease lasts unless it is renewed, 1s to 7d [else: 60s]
          --max-attempts <COUNT>     How often it is tried by itself [else: 1]
          --on-lapse <WORD>          What a lapse of its lease means [else: recover] [possible values:
                                     recover, hold, quarantine]
          --when-spent <WORD>        Where it ends when its attempts are spent [else: compensated]
                                     [possible values: compensated, quarantined]
          --stall-after <DURATION>   No heartbeat extends a lease beyond this long after the last
                                     progress [else: off]
          --time-limit <DURATION>    No heartbeat extends a lease beyond this long after the attempt
                                     began [else: off]
          --start-within <DURATION>  The first attempt must begin this long after the task is created
                                     and due [else: off]
          --lock-delay <DURATION>    Takeover and recovery of a lapsed lease wait this long, for effects
                                     that can't be fenced [else: off]
          --cancel-grace <DURATION>  A holder that was told to stop may renew its lease for this long
                                     [else: off]
          --backoff-base <DURATION>  The wait after the first attempt [else: 1s]
          --backoff-factor <FACTOR>  How much longer each further wait is [else: 2]
          --backoff-cap <DURATION>   The longest wait [else: 5m]
          --as <WHO>                 Who gives the command; it is recorded [else: the login name, or the
                                     owner of the lease]

    Advanced:
          --saga <SAGA>  A second unique name, for the task's saga [else: its id]

    Global options:
          --store <URL>       Where the record is kept: `sqlite:PATH`, `postgres://USER@HOST/DATABASE`,
                              `http://HOST:PORT` for a server or several, `http://a:7117,b:7117`, or
                              `memory:` for nothing that lasts [else: TENURE_STORE, or tenure.db in the
                              user's data directory]
          --namespace <NAME>  The room in which ids are unique [else: TENURE_NAMESPACE, or `default`]
      -o, --format <FORM>     Tables for people, or JSON: one document, or one a line for lists and
                              streams [default: table] [possible values: table, json]
          --request-id <ID>   Names the command, so that a repeat within 7 days is answered as the first
                              was and not done again
      -q, --quiet             Only what a script needs: ids of lists and new tasks, the epoch of an
                              acquire; no notes
      -v, --verbose           Also say which store and namespace are used, and as whom

    Example:
      tenure task create --id build-42 --queue agents --undo remove-worktree=/tmp/wt-42
      tenure task create --from-file tasks.jsonl
    $ tenure help task undo settle
    Say what became of an undo: it ran, it was tried in vain, or it is waived

    Use it with --receipt after each undo that ran; with --error after one that did not work; with
    --waive, by a person, for one that need not run.

    Usage: tenure task undo settle [OPTIONS] <--receipt <TEXT>|--error <TEXT>|--waive> [ID] [NUMBER]

    Arguments:
      [ID]
              The task [else: TENURE_TASK]

      [NUMBER]
              Its number, as `tenure task undo list` shows it

    Options:
          --owner <OWNER>
              Who holds the lease [else: TENURE_OWNER]

          --epoch <EPOCH>
              The lease's number, as the acquire answered it [else: TENURE_EPOCH]

          --receipt <TEXT>
              What the undo left as proof; also @FILE or @-

          --error <TEXT>
              Why it did not work; also @FILE or @-

          --waive
              It need not run; say why with --reason

          --reason <TEXT>
              Why it is waived; also @FILE or @-

          --as <WHO>
              Who gives the command; it is recorded [else: the login name, or the owner of the lease]

      -h, --help
              Print help (see a summary with '-h')

    Global options:
          --store <URL>
              Where the record is kept: `sqlite:PATH`, `postgres://USER@HOST/DATABASE`,
              `http://HOST:PORT` for a server or several, `http://a:7117,b:7117`, or `memory:` for
              nothing that lasts [else: TENURE_STORE, or tenure.db in the user's data directory]

          --store-patience <DURATION>
              How long to retry a database or servers that are away [default: 30s for writes to
              PostgreSQL, 2s for servers; or `patience=` in the URL]

          --namespace <NAME>
              The room in which ids are unique [else: TENURE_NAMESPACE, or `default`]

      -o, --format <FORM>
              Tables for people, or JSON: one document, or one a line for lists and streams
              
              [default: table]
              [possible values: table, json]

          --request-id <ID>
              Names the command, so that a repeat within 7 days is answered as the first was and not
              done again

          --token <TOKEN>
              A token, for a store behind a server; a file asks for none [else: TENURE_TOKEN, or the
              file that TENURE_TOKEN_FILE names]

          --config <FILE>
              A file with settings in TOML: `store`, `namespace`, `[undo.KIND]` [else: TENURE_CONFIG]

      -q, --quiet
              Only what a script needs: ids of lists and new tasks, the epoch of an acquire; no notes

      -v, --verbose
              Also say which store and namespace are used, and as whom

    Example:
      tenure task undo settle build-42 1 --owner w1 --epoch 1 --receipt 'closed'
      tenure task undo settle build-42 1 --as alice --waive --reason 'gone already'
    $ tenure token create -h
    Make a token, and show it this once

    Usage: tenure token create [OPTIONS] --name <NAME> --role <ROLE>

    Options:
          --name <NAME>         Who acts with it; no live token has that name yet
          --role <ROLE>         What it is for: looking; tasks and leases of its own; all about tasks;
                                tokens too [possible values: reader, worker, operator, admin]
          --expires <DURATION>  How long it is live, 1s to 3650d [else: until it is revoked]
          --namespace <NAME>    A room that it is bound to, or '*' for all of them. May be repeated
                                [else: TENURE_NAMESPACE, or `default`]
          --as <WHO>            Who gives the command; it is recorded [else: the login name, or the
                                owner of the lease]
      -h, --help                Print help (see more with '--help')

    Global options:
          --store <URL>      Where the record is kept: `sqlite:PATH`, `postgres://USER@HOST/DATABASE`,
                             `http://HOST:PORT` for a server or several, `http://a:7117,b:7117`, or
                             `memory:` for nothing that lasts [else: TENURE_STORE, or tenure.db in the
                             user's data directory]
      -o, --format <FORM>    Tables for people, or JSON: one document, or one a line for lists and
                             streams [default: table] [possible values: table, json]
          --request-id <ID>  Names the command, so that a repeat within 7 days is answered as the first
                             was and not done again
      -q, --quiet            Only what a script needs: ids of lists and new tasks, the epoch of an
                             acquire; no notes
      -v, --verbose          Also say which store and namespace are used, and as whom

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
