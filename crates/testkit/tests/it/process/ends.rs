//! No process of a command outlives the end of its run: not one in the background, not a daemon, not one that ignores
//! SIGTERM or is stopped; whatever happens to the program that started it.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use super::commands::{Brood, CONTAINMENTS, Seen, all_are_gone, launch, limit, sh};
use tenure::clock::Moment;
use tenure::core::time::Span;
use tenure::process::{Cause, CommandEnd, Containment, Limit, Output, Remains, Running};
use tenure_testkit::block_on;
use tenure_testkit::waiting::until_blocking;
use tokio::io::AsyncReadExt;

/// For what ignores SIGTERM and is killed after it.
const SHORT: Duration = Duration::from_millis(300);
/// For what must not be over in a test.
const LONG: Duration = Duration::from_secs(600);

/// A command with children that waits for them, and all of its processes.
async fn brood(containment: Containment) -> (Brood, Vec<Seen>, Running) {
    let brood = Brood::new();
    let launch = sh(&brood.script("wait; sleep 1000")).containment(containment).orphan_grace(SHORT);
    let running = launch.start().await.expect("it starts");
    let seen = brood.wait();
    assert!(seen.iter().any(|one| one.pid == running.pid()));
    (brood, seen, running)
}

#[test]
fn what_is_stopped_ends_with_everything_that_it_started() {
    for containment in CONTAINMENTS {
        block_on(async {
            let (_folder, seen, mut running) = brood(containment).await;
            running.stop(SHORT);
            assert_eq!(running.ended().await, CommandEnd::Signalled(15));
            let emptied = running.finish(LONG).await;
            assert!(!seen.iter().any(Seen::lives), "{containment:?}: finished means that nothing is left");
            assert_eq!(emptied.remains, Remains::Nothing);
            assert!(emptied.killed >= 1, "one ignores SIGTERM: {emptied:?}");
            assert!(emptied.left_behind as usize >= Brood::COUNT - 1, "{emptied:?}");
            assert_eq!(running.cause(), Some(Cause::Stopped));
        });
    }
}

#[test]
fn what_is_killed_ends_with_everything_that_it_started() {
    for containment in CONTAINMENTS {
        block_on(async {
            let (_folder, seen, mut running) = brood(containment).await;
            running.kill();
            assert_eq!(running.ended().await, CommandEnd::Signalled(9));
            let emptied = running.finish(LONG).await;
            assert!(!seen.iter().any(Seen::lives), "{containment:?}");
            assert_eq!((running.cause(), emptied.remains), (Some(Cause::Killed), Remains::Nothing));
        });
    }
}

#[test]
fn what_a_command_leaves_behind_is_ended_when_it_is_finished_and_counted() {
    for containment in CONTAINMENTS {
        block_on(async {
            let family = Brood::new();
            let launch = sh(&family.script("exit 3")).containment(containment);
            let mut running = launch.start().await.expect("it starts");
            assert_eq!(running.ended().await, CommandEnd::Exited(3));
            let seen = family.wait();
            assert!(
                seen.iter().filter(|one| one.lives()).count() >= Brood::COUNT - 1,
                "nobody ends it before"
            );
            let emptied = running.finish(SHORT).await;
            assert!(!seen.iter().any(Seen::lives), "{containment:?}");
            assert_eq!(running.cause(), None, "it ended by itself");
            assert!(emptied.left_behind as usize >= Brood::COUNT - 1, "{emptied:?}");
        });
    }
}

#[test]
fn the_number_of_those_left_behind_is_exact() {
    for containment in CONTAINMENTS {
        block_on(async {
            let folder = tempfile::tempdir().expect("a folder");
            let script = format!(
                "cd {}; sleep 1000 & echo $! >> pids; setsid sh -c 'echo $$ >> pids; exec sleep 1000' & \
                 (setsid sh -c 'echo $$ >> pids; exec sleep 1000' &); \
                 until [ $(wc -l < pids) = 3 ]; do sleep 0.02; done; exit 0",
                folder.path().display()
            );
            let mut running = sh(&script).containment(containment).start().await.expect("it starts");
            assert_eq!(running.ended().await, CommandEnd::Exited(0));
            let emptied = running.finish(LONG).await;
            assert_eq!((emptied.left_behind, emptied.killed), (3, 0), "{containment:?}");
        });
    }
}

#[test]
fn at_its_limit_a_command_is_asked_and_then_killed() {
    for containment in CONTAINMENTS {
        block_on(async {
            let (_folder, seen, mut running) = brood(containment).await;
            let ask = Moment::now() + Span::from_millis(200);
            let limit = Limit { ask, kill: ask + Span::from_millis(3_000) };
            running.may_run_until(limit);
            assert_eq!(running.ended().await, CommandEnd::Signalled(15));
            assert!(Moment::now() >= ask, "not before");
            assert_eq!(running.cause(), Some(Cause::Limit));
            all_are_gone(&seen);
            assert!(Moment::now() >= limit.kill, "the one that ignores SIGTERM lived until then");
        });
    }
}

#[test]
fn a_limit_that_is_moved_on_counts_as_moved() {
    block_on(async {
        // Much longer than a start takes.
        let first = limit(4_000);
        let launch = sh("trap 'echo heard' USR1; echo ready; while :; do sleep 0.05; done");
        let launch = launch.output(Output::Piped).may_run_until(first);
        let mut running = launch.start().await.expect("it starts");
        let mut output = running.take_output().expect("output");
        let mut told = [0; 6];
        output.read_exact(&mut told).await.expect("ready");
        running.may_run_until(limit(600_000));
        until_blocking("the first has passed", || Moment::now() > first.kill);
        // The warden passes each of these on. Between the two it looks at the limit.
        for _ in 0..2 {
            running.signal(10);
            output.read_exact(&mut told).await.expect("it lives");
            assert_eq!(&told, b"heard\n");
        }
        assert_eq!(running.cause(), None);

        running.may_run_until(limit(0));
        assert_eq!(running.ended().await, CommandEnd::Signalled(9), "past the kill nothing is asked before");
        assert_eq!(running.cause(), Some(Cause::Limit));
    });
}

#[test]
fn what_is_dropped_ends_with_everything_that_it_started() {
    for containment in CONTAINMENTS {
        block_on(async {
            let (_folder, seen, running) = brood(containment).await;
            drop(running);
            all_are_gone(&seen);
        });
    }
}

/// A program of its own that runs a command.
struct Program {
    process: Child,
    told: BufReader<ChildStdout>,
    warden: Seen,
    command: Seen,
}

impl Program {
    fn start(containment: Containment, script: &str) -> Program {
        let containment = if containment == Containment::GroupOnly { "group" } else { "any" };
        let mut process = Command::new(env!("CARGO_BIN_EXE_tenure-child"))
            .args(["hold", containment, "sh", "-c", script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a process");
        let mut told = BufReader::new(process.stdout.take().expect("its output"));
        let mut line = String::new();
        told.read_line(&mut line).expect("a line");
        let command = Seen::now(line.trim_start_matches("started ").trim().parse().expect("a number"));
        let warden = command.parent();
        Program { process, told, warden, command }
    }

    /// With a command that has children, and all of the command's processes.
    fn with_brood(containment: Containment) -> (Program, Vec<Seen>, Brood) {
        let brood = Brood::new();
        let program = Program::start(containment, &brood.script("wait; sleep 1000"));
        let seen = brood.wait();
        (program, seen, brood)
    }

    fn next_line(&mut self) -> String {
        let mut line = String::new();
        self.told.read_line(&mut line).expect("a line");
        line
    }

    /// Has the command asked to end in that many milliseconds, and killed half a second later.
    fn limit(&mut self, ms: u64) {
        writeln!(self.process.stdin.as_mut().expect("its input"), "{ms}").expect("written");
        assert_eq!(self.next_line(), "limited\n");
    }

    fn seen(&self) -> Seen {
        Seen::now(self.process.id())
    }

    fn kill(&mut self) {
        self.process.kill().expect("kill -9");
        self.process.wait().expect("its end");
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Most are killed by their story.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn kill_those_who_live(seen: &[Seen]) {
    seen.iter().filter(|one| one.lives()).for_each(|one| one.signal("KILL"));
}

#[test]
fn a_program_that_is_killed_leaves_nothing() {
    for containment in CONTAINMENTS {
        let (mut program, seen, _brood) = Program::with_brood(containment);
        program.kill();
        all_are_gone(&seen);
        until_blocking("the warden ends", || !program.warden.lives());
    }
}

#[test]
fn a_program_that_is_stopped_past_the_limit_keeps_nothing_running() {
    for containment in CONTAINMENTS {
        let (mut program, seen, _brood) = Program::with_brood(containment);
        // Stopped before it, as also a slow machine has time to.
        program.limit(1_500);
        program.seen().signal("STOP");
        all_are_gone(&seen);
        assert!(program.seen().is_stopped());
    }
}

#[test]
fn a_warden_that_is_killed_takes_the_command_with_it_and_the_program_the_rest() {
    for containment in CONTAINMENTS {
        let (mut program, seen, _brood) = Program::with_brood(containment);
        let has_cgroup = program.command.cgroup().contains("tenure-");
        program.warden.signal("KILL");
        until_blocking("the command ends", || !program.command.lives());
        let told = [program.next_line(), program.next_line()];
        assert!(told[0].starts_with("ended Lost("), "{told:?}");
        if has_cgroup {
            assert!(told[1].contains("remains: Nothing"), "{told:?}");
            all_are_gone(&seen);
        } else {
            assert!(told[1].contains("remains: Unknown"), "what left the group is not found: {told:?}");
            kill_those_who_live(&seen);
        }
    }
}

#[test]
fn program_and_warden_killed_at_once_take_the_command_with_them() {
    for containment in CONTAINMENTS {
        let (mut program, seen, _brood) = Program::with_brood(containment);
        let both = [program.process.id().to_string(), program.warden.pid.to_string()];
        assert!(Command::new("kill").arg("-KILL").args(both).status().expect("kill").success());
        until_blocking("the command ends", || !program.command.lives());
        program.kill();
        kill_those_who_live(&seen);
    }
}

#[test]
fn a_warden_that_is_stopped_is_made_to_keep_the_limit() {
    let (mut program, seen, _brood) = Program::with_brood(Containment::GroupOnly);
    program.warden.signal("STOP");
    program.limit(100);
    all_are_gone(&seen);
}

#[test]
fn all_stopped_past_the_limit_and_woken_together_get_no_further() {
    let folder = tempfile::tempdir().expect("a folder");
    let ticks = folder.path().join("ticks");
    let count = || std::fs::read(&ticks).map_or(0, |bytes| bytes.len());
    let script = format!("exec {} tick {}", env!("CARGO_BIN_EXE_tenure-child"), ticks.display());
    for containment in CONTAINMENTS {
        let _ = std::fs::remove_file(&ticks);
        let mut program = Program::start(containment, &script);
        until_blocking("it ticks", || count() > 5);
        // Stopping all of them takes some tens of milliseconds.
        program.limit(4_000);
        let past = Moment::now() + Span::from_millis(5_000);
        let group = format!("-{}", program.command.pid);
        assert!(Command::new("kill").args(["-STOP", "--", &group]).status().expect("kill").success());
        let all = [program.command.clone(), program.warden.clone(), program.seen()];
        all[1..].iter().for_each(|one| one.signal("STOP"));
        until_blocking("all are stopped", || all.iter().all(Seen::is_stopped));
        let before = count();
        until_blocking("the limit has passed", || Moment::now() >= past);
        assert_eq!(count(), before);
        let woken = [group, program.warden.pid.to_string(), program.process.id().to_string()];
        assert!(Command::new("kill").args(["-CONT", "--"]).args(woken).status().expect("kill").success());
        until_blocking("the command ends", || !program.command.lives());
        let ticked = count() - before;
        // A tick each 20 ms. On a busy machine the warden has to wait for its turn, too; a warden that does nothing before its
        // program makes it would be late by more than 70.
        assert!(ticked <= 50, "{containment:?}: {ticked} ticks after waking");
        assert!(program.process.wait().expect("its end").success());
    }
}

#[test]
fn a_stopped_command_hears_that_it_is_to_end() {
    block_on(async {
        let script = "trap 'exit 9' TERM; kill -STOP $$; while :; do sleep 0.02; done";
        let mut running = launch("sh", &["-c", script]).start().await.expect("it starts");
        let command = Seen::now(running.pid());
        until_blocking("it is stopped", || command.is_stopped());
        running.stop(LONG);
        assert_eq!(running.ended().await, CommandEnd::Exited(9));
    });
}

#[test]
fn what_forks_all_the_time_is_killed_all_the_same() {
    for containment in CONTAINMENTS {
        block_on(async {
            // Each lives for a moment and starts its successor, out of any group.
            let script = "f() { setsid sh -c \"$1\" f \"$1\" & }; trap '' TERM; f 'trap \"\" TERM; sleep 0.05; setsid sh -c \"$1\" f \"$1\" & exit'; exit 0";
            let mut running = sh(script).containment(containment).start().await.expect("it starts");
            assert_eq!(running.ended().await, CommandEnd::Exited(0));
            let emptied = running.finish(SHORT).await;
            assert_eq!(emptied.remains, Remains::Nothing, "{containment:?}");
        });
    }
}

/// Below the folder where the hierarchy is mounted on most machines, or on this one.
fn cgroup_is_there(cgroup: &str) -> bool {
    ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"]
        .iter()
        .any(|root| Path::new(&format!("{root}{cgroup}")).exists())
}

#[test]
fn a_cgroup_goes_with_its_command_and_one_that_was_left_with_the_next() {
    block_on(async {
        let mut running = sh("sleep 1000").start().await.expect("it starts");
        let own = Seen::now(running.pid()).cgroup();
        if !own.contains("tenure-") {
            return;
        }
        assert!(cgroup_is_there(&own));
        running.kill();
        running.finish(LONG).await;
        assert!(!cgroup_is_there(&own));

        let mut program = Program::start(Containment::CgroupIfPossible, "sleep 1000 & wait");
        let left = program.command.cgroup();
        let both = [program.process.id().to_string(), program.warden.pid.to_string()];
        assert!(Command::new("kill").arg("-KILL").args(both).status().expect("kill").success());
        program.kill();
        let group = format!("-{}", program.command.pid);
        // The background process, which nobody else ends.
        let _ = Command::new("kill").args(["-KILL", "--", &group]).status();
        until_blocking("a later start removes it", || {
            std::process::Command::new(env!("CARGO_BIN_EXE_tenure-child"))
                .args(["hold", "any", "true"])
                .stdout(Stdio::null())
                .status()
                .expect("it runs");
            !cgroup_is_there(&left)
        });
    });
}
