//! Tests the commands that messages advise: each is one that this program takes, with all that it needs, and it names the store that
//! it should.

use std::fs;
use std::path::{Path, PathBuf};

use tenure_cli::command;

use crate::frozen::{Frozen, Ran, file, split};
use crate::place::Place;
use crate::serving::Serving;

/// Commands that sentences name without advising to run them: what they need besides is not said.
const NAMED: [&str; 4] = ["tenure prune", "tenure run", "tenure task undo add", "tenure token create"];

/// Whether this program takes the command line; if not, why. Help that was asked for is taken.
fn taken(line: &str) -> Result<(), String> {
    let line = line.split([';', '|', '>']).next().unwrap_or_default().trim();
    match command().try_get_matches_from(split(line)) {
        Err(error) if error.use_stderr() => Err(format!("`{line}`: {error}")),
        Ok(_) | Err(_) => Ok(()),
    }
}

/// The commands in a text, each between backticks.
fn commands_in(text: &str) -> impl Iterator<Item = &str> {
    text.split("`tenure ").skip(1).filter_map(|rest| rest.split_once('`')).map(|(command, _)| command)
}

/// The sources of what is shipped.
fn sources() -> Vec<PathBuf> {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the folder of crates");
    let mut found = Vec::new();
    let mut folders: Vec<PathBuf> = fs::read_dir(crates)
        .expect("listed")
        .map(|entry| entry.expect("an entry").path())
        .filter(|folder| !folder.ends_with("testkit"))
        .map(|folder| folder.join("src"))
        .filter(|folder| folder.exists())
        .collect();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("listed") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                found.push(path);
            }
        }
    }
    found
}

/// The code without comments, with each text on one line.
fn without_comments(code: &str) -> String {
    let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
    let mut joined = String::new();
    for line in lines {
        match line.strip_suffix('\\') {
            Some(beginning) if joined.ends_with('\n') || joined.is_empty() => joined += beginning,
            Some(beginning) => joined += beginning.trim_start(),
            None if joined.ends_with('\n') || joined.is_empty() => joined = joined + line + "\n",
            None => joined = joined + line.trim_start() + "\n",
        }
    }
    joined
}

/// A command as it could be: with a value for whatever is filled in.
fn filled(command: &str) -> String {
    let mut line = String::from("tenure ");
    let mut rest = command;
    while let Some((before, after)) = rest.split_once('{') {
        line = line + before + "1";
        rest = after.split_once('}').map_or("", |(_, after)| after);
    }
    line += rest;
    line.replace("--role 1", "--role worker").replace("ROLE", "worker").replace("\\\"", "'")
}

#[test]
fn each_command_in_a_message_is_one_that_this_program_takes() {
    let (mut looked_at, mut wrong) = (0, Vec::new());
    for path in sources() {
        let code = without_comments(&fs::read_to_string(&path).expect("read"));
        // What is filled in as a whole is looked at where it is printed, and `output.rs` looks for the beginning itself.
        for command in commands_in(&code).filter(|command| !command.starts_with(['{', '"'])) {
            let line = filled(command);
            looked_at += 1;
            if let Err(why) = taken(&line).or_else(|why| NAMED.contains(&&*line).then_some(()).ok_or(why)) {
                wrong.push(format!("{}: {why}", path.display()));
            }
        }
    }
    assert!(looked_at > 60, "there are {looked_at}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_command_that_needs_what_it_lacks_is_found() {
    for (command, is_taken) in [
        ("--store {} restore {file}", true),
        ("restore", false),
        ("restore --in-place", false),
        ("--store sqlite:a --store sqlite:b status", false),
        ("task show {id} --nope", false),
        ("task put --help", true),
    ] {
        assert_eq!(taken(&filled(command)).is_ok(), is_taken, "{command}");
    }
    assert_eq!(
        without_comments("    // no `tenure x`\n    f(\"a `tenure \\\n       b`\");\n"),
        "    f(\"a `tenure b`\");\n"
    );
}

/// What was printed, after a look that each command in it is one that this program takes, and that none but those with a store of
/// their own names a store that is not there.
fn looked_through(world: &Frozen, ran: &Ran) -> String {
    let all =
        format!("{}{}", ran.out, ran.errors).replace("<folder>", &world.folder.path().display().to_string());
    for command in commands_in(&all) {
        taken(&format!("tenure {command}")).unwrap_or_else(|why| panic!("{why}: {all}"));
    }
    all
}

/// A world with a store whose pages are damaged.
fn damaged() -> Frozen {
    let world = Frozen::world();
    for number in 0..40 {
        world.given(&format!("task create --id t-{number} --payload '\"{}\"'", "x".repeat(800)));
    }
    world.given("backup whole.backup".replace("whole", &world.path("whole")).as_str());
    damage(&file(&world));
    world
}

fn damage(path: &Path) {
    let mut bytes = fs::read(path).expect("read");
    let page = bytes.len() / 4096 / 2 * 4096;
    bytes[page..page + 4096].fill(0xa5);
    fs::write(path, bytes).expect("written");
}

#[test]
fn of_a_damaged_store_a_backup_is_restored_into_a_new_one() {
    let world = damaged();
    let store = format!("--store sqlite:{}", world.path("tenure.db"));
    for command in ["doctor --deep", "doctor -o json", "audit verify", "task list"] {
        let told = looked_through(&world, &world.run(&format!("{store} {command}")));
        assert!(!told.contains("tenure.db restore"), "not into itself: {told}");
    }
}

#[test]
fn of_a_damaged_backup_nothing_is_advised_about_the_store_that_was_not_made() {
    let world = damaged();
    let (backup, new) = (world.path("whole.backup"), world.path("new.db"));
    damage(Path::new(&backup));
    let ran = world.run(&format!("--store sqlite:{new} restore {backup}"));
    assert_ne!(ran.status, 0);
    let told = looked_through(&world, &ran);
    assert!(!told.contains("new.db audit verify") && !Path::new(&new).exists(), "{told}");
}

#[test]
fn a_store_that_is_no_backup_and_a_file_that_is_no_export_are_not_asked_of_the_new_store() {
    let world = Frozen::world();
    world.given("task create --id t");
    let (store, new) = (world.path("tenure.db"), format!("--store sqlite:{}", world.path("new.db")));
    let told = looked_through(&world, &world.run(&format!("{new} restore {store}")));
    assert!(told.contains("restore --in-place --yes`"), "{told}");
    let letter = world.write("letter", "Dear Sir,\n");
    for command in
        [format!("restore {letter}"), format!("import {letter}"), format!("import {}", world.path(""))]
    {
        let told = looked_through(&world, &world.run(&format!("{new} {command}")));
        assert!(!told.contains("new.db export") && !told.contains("new.db backup"), "{told}");
    }
}

#[test]
fn what_only_a_server_knows_is_asked_with_the_server_s_own_store() {
    let place = Place::new();
    let mut serving = Serving::start(place.folder.path(), &[]);
    let world = Frozen::world();
    let told = looked_through(&world, &world.run(&format!("--store {} doctor", serving.url)));
    serving.stop();
    assert!(told.contains("run `tenure --store STORE doctor` there"), "{told}");
}
