//! A command runs as it would without Tenure between.

use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::time::Duration;

use super::commands::{Seen, launch, sh};
use tenure::process::{Cause, CommandEnd, Emptied, Input, Launch, Output, Remains, StartError};
use tenure_testkit::block_on;
use tenure_testkit::waiting::until_blocking;
use tokio::io::AsyncReadExt;

const GRACE: Duration = Duration::from_secs(20);
const CLEAN: Emptied = Emptied { left_behind: 0, killed: 0, remains: Remains::Nothing };

/// How it ended, and what it wrote.
async fn run(launch: Launch) -> (CommandEnd, String, String) {
    let launch = launch.output(Output::Piped).errors(Output::Piped);
    let mut running = launch.start().await.expect("it starts");
    let (mut output, mut errors) = (String::new(), String::new());
    let mut from = (running.take_output().expect("output"), running.take_errors().expect("errors"));
    let read = tokio::join!(from.0.read_to_string(&mut output), from.1.read_to_string(&mut errors));
    read.0.and(read.1).expect("text");
    let end = running.ended().await;
    assert_eq!(running.ended().await, end, "it can be asked again");
    assert_eq!(running.finish(GRACE).await, CLEAN);
    (end, output, errors)
}

#[test]
fn its_status_and_the_signal_that_ended_it_are_told() {
    block_on(async {
        assert_eq!(run(sh("exit 0")).await.0, CommandEnd::Exited(0));
        assert_eq!(run(sh("exit 3")).await.0, CommandEnd::Exited(3));
        assert_eq!(run(sh("kill -USR1 $$")).await.0, CommandEnd::Signalled(10));
    });
}

#[test]
fn a_command_that_is_not_there_is_told_from_one_that_cannot_be_executed() {
    block_on(async {
        let start = async |launch: Launch| launch.start().await.expect_err("refused");
        let missing = start(launch("no-such-command-anywhere", &[])).await;
        let is_named =
            matches!(&missing, StartError::NotFound { program, .. } if program == "no-such-command-anywhere");
        assert!(is_named, "{missing}");
        let denied = start(launch("/etc/passwd", &[])).await;
        assert!(matches!(denied, StartError::NotExecutable { .. }), "{denied}");
        let folder = start(sh("true").folder("/no/such/folder")).await;
        assert!(
            matches!(&folder, StartError::Failed { why, .. } if why.contains("/no/such/folder")),
            "{folder}"
        );
        for error in [&missing, &denied, &folder] {
            let cause =
                std::error::Error::source(error).and_then(|cause| cause.downcast_ref::<std::io::Error>());
            assert!(cause.is_some(), "{error} has no cause");
        }
        let number = start(sh("true").descriptor(2, null())).await;
        assert!(matches!(number, StartError::Failed { .. }), "{number}");
        let late = start(sh("true").may_run_until(super::commands::limit(0))).await;
        assert!(late.to_string().contains("has already passed"), "{late}");
    });
}

#[test]
fn a_program_that_does_not_serve_is_told_what_is_missing() {
    block_on(async {
        let own = Launch::new("true").start().await.expect_err("refused").to_string();
        assert!(own.contains("serve_if_asked"), "{own}");
        let foreign = Launch::new("true").warden("/bin/true").start().await.expect_err("refused").to_string();
        assert!(foreign.contains("serve_if_asked"), "{foreign}");
    });
}

#[test]
fn it_reads_what_it_is_given_and_need_not_read_it_all() {
    block_on(async {
        let much = vec![b'x'; 300_000];
        let (_, output, _) = run(launch("wc", &["-c"]).input(Input::Bytes(much.clone()))).await;
        assert_eq!(output.trim(), "300000");
        let (end, ..) = run(launch("true", &[]).input(Input::Bytes(much))).await;
        assert_eq!(end, CommandEnd::Exited(0));
        assert_eq!(run(launch("cat", &[]).input(Input::Nothing)).await.1, "");
    });
}

#[test]
fn its_outputs_arrive_apart_and_end() {
    block_on(async {
        let (end, output, errors) = run(sh("echo out; echo err >&2; exit 4")).await;
        assert_eq!((end, output.as_str(), errors.as_str()), (CommandEnd::Exited(4), "out\n", "err\n"));
    });
}

#[test]
fn environment_and_folder_are_as_launched() {
    block_on(async {
        let script = "echo $PWD; echo $GIVEN; echo ${HOME-none}; echo $PATH";
        let launch = sh(script).folder("/usr").env("GIVEN", "a\nb=c").without("HOME");
        let path = std::env::var("PATH").expect("a path");
        assert_eq!(run(launch).await.1, format!("/usr\na b=c\nnone\n{path}\n"));
        let in_folder = launch_in_own_folder();
        assert_eq!(run(in_folder.1).await.1, "here\n", "a relative path counts from its folder");
    });
}

fn launch_in_own_folder() -> (tempfile::TempDir, Launch) {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("command");
    std::fs::write(&file, "#!/bin/sh\necho here\n").expect("written");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).expect("made executable");
    let launch = launch("./command", &[]).folder(folder.path());
    (folder, launch)
}

fn null() -> OwnedFd {
    std::fs::File::open("/dev/null").expect("nothing").into()
}

#[test]
fn it_finds_given_descriptors_at_their_numbers_and_no_others() {
    block_on(async {
        let (read, mut write) = std::io::pipe().expect("a pipe");
        write.write_all(b"through nine").expect("written");
        drop(write);
        let list = "cat <&9; echo; exec ls /proc/self/fd";
        let (_, output, _) = run(sh(list).descriptor(9, read).descriptor(4, null())).await;
        let direct = std::process::Command::new("ls").arg("/proc/self/fd").output().expect("ls");
        let direct = String::from_utf8(direct.stdout).expect("text");
        let mut expected: Vec<&str> = direct.lines().chain(["4", "9"]).collect();
        expected.sort_unstable();
        let mut found: Vec<&str> = output.lines().skip(1).collect();
        found.sort_unstable();
        // The folder that is listed is open while it is, at the next free number.
        let without_own = |list: Vec<&str>| {
            list.into_iter().filter(|at| !["3", "5"].contains(at)).map(str::to_owned).collect::<Vec<_>>()
        };
        assert!(output.starts_with("through nine\n"), "{output}");
        assert_eq!(without_own(found), without_own(expected));
    });
}

#[test]
fn its_signals_are_as_if_it_was_started_directly() {
    block_on(async {
        let (_, output, _) = run(launch("grep", &["^Sig[BIC]", "/proc/self/status"])).await;
        let direct = std::process::Command::new("grep").args(["^Sig[BIC]", "/proc/self/status"]).output();
        assert_eq!(output, String::from_utf8(direct.expect("grep").stdout).expect("text"));
        // A writer whose reader goes away is ended by the signal, without a word of complaint.
        let (_, output, errors) = run(sh("{ yes; echo $? >&2; } | head -n 1")).await;
        assert_eq!((output.as_str(), errors.as_str()), ("y\n", "141\n"));
    });
}

#[test]
fn what_its_program_ignores_it_ignores() {
    let script = "trap '' HUP INT; exec \"$0\" hold any grep ^SigIgn /proc/self/status";
    let child = env!("CARGO_BIN_EXE_tenure-child");
    let output = std::process::Command::new("sh").args(["-c", script, child]).output().expect("sh");
    let output = String::from_utf8(output.stdout).expect("text");
    let mask = output.lines().find_map(|line| line.strip_prefix("SigIgn:\t")).expect("a mask");
    assert_eq!(u64::from_str_radix(mask, 16).expect("a number") & 0b1111, 0b0011, "{output}");
}

#[test]
fn what_it_inherits_is_the_same_file() {
    let mut file = tempfile::tempfile().expect("a file");
    let child = env!("CARGO_BIN_EXE_tenure-child");
    let status = std::process::Command::new(child)
        .args(["hold", "any", "sh", "-c", "echo to the file >&2; echo more >&2"])
        .stderr(file.try_clone().expect("a file"))
        .stdout(std::process::Stdio::null())
        .status();
    assert!(status.expect("it runs").success());
    file.write_all(b"and after").expect("written");
    let mut text = String::new();
    std::io::Seek::rewind(&mut file).expect("rewound");
    file.read_to_string(&mut text).expect("text");
    assert_eq!(text, "to the file\nmore\nand after", "they share a place in it");
}

#[test]
fn a_signal_is_passed_on_to_its_group() {
    block_on(async {
        let script = "trap 'echo heard; exit 7' USR1; echo ready; while :; do sleep 0.05; done";
        let mut running = sh(script).output(Output::Piped).start().await.expect("it starts");
        let mut output = running.take_output().expect("output");
        let mut ready = [0; 6];
        output.read_exact(&mut ready).await.expect("ready");
        running.signal(10);
        // The shell takes notice when the sleep of its group was ended by the signal, too.
        assert_eq!(running.ended().await, CommandEnd::Exited(7));
        assert_eq!(running.cause(), None, "that was nobody's end");
        running.finish(GRACE).await;
    });
}

#[test]
fn who_gives_up_waiting_can_wait_again() {
    block_on(async {
        // It ends when it is let go.
        let (read, mut write) = std::io::pipe().expect("a pipe");
        let launch = sh("read line <&9; exit 6").descriptor(9, read);
        let mut running = launch.start().await.expect("it starts");
        let short = Duration::from_millis(20);
        assert!(tokio::time::timeout(short, running.ended()).await.is_err());
        write.write_all(b"go\n").expect("written");
        assert_eq!(running.ended().await, CommandEnd::Exited(6));
        assert_eq!(running.finish(GRACE).await, CLEAN);
        assert_eq!(running.finish(GRACE).await, CLEAN);
    });
}

#[test]
fn fifty_commands_at_once_share_nothing_and_leave_no_warden() {
    block_on(async {
        let all: Vec<_> = (0..50)
            .map(|number: u32| {
                tokio::spawn(async move {
                    let script = format!("cat; echo $PPID; ls /proc/self/fd | wc -l; exit {}", number % 7);
                    let launch = sh(&script).input(Input::Bytes(format!("{number}\n").into_bytes()));
                    let mut running = launch.output(Output::Piped).start().await.expect("it starts");
                    let mut output = String::new();
                    running.take_output().expect("output").read_to_string(&mut output).await.expect("text");
                    let end = running.ended().await;
                    assert_eq!(running.finish(GRACE).await, CLEAN);
                    (number, end, output)
                })
            })
            .collect();
        let mut counts = std::collections::BTreeSet::new();
        let mut wardens = Vec::new();
        for one in all {
            let (number, end, output) = one.await.expect("it ran");
            let [given, warden, open] = output.lines().collect::<Vec<_>>()[..] else { panic!("{output}") };
            let status = i32::try_from(number % 7).expect("small");
            assert_eq!((given, end), (number.to_string().as_str(), CommandEnd::Exited(status)));
            counts.insert(open.to_owned());
            wardens.push(Seen::now(warden.parse().expect("a number")));
        }
        assert_eq!(counts.len(), 1, "as many descriptors for each: {counts:?}");
        until_blocking("the wardens end", || !wardens.iter().any(Seen::lives));
    });
}

#[test]
fn being_ended_is_told_from_ending() {
    block_on(async {
        let mut running =
            sh("trap 'exit 0' TERM; while :; do sleep 0.05; done").start().await.expect("it starts");
        running.stop(GRACE);
        let end = running.ended().await;
        // It may be asked before it has set its trap.
        assert!(matches!(end, CommandEnd::Exited(0) | CommandEnd::Signalled(15)), "{end:?}");
        assert_eq!(running.cause(), Some(Cause::Stopped));
        running.finish(GRACE).await;
    });
}
