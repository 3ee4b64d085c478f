//! Tests clients generated from `docs/openapi.json`: their types check, and the programs in `docs/examples/generated/`
//! that use them take a task from creation to its end.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::installed;
use crate::serving::Serving;

/// The directories where `cargo xtask test` installs the generators.
const OF_PYTHON: &str = "openapi-python-client-0.29.1";
const OF_TYPESCRIPT: &str = "openapi-typescript-7.13.0";

/// How the example calls the compiler.
const TSC: [&str; 5] = ["--strict", "--target", "es2022", "--module", "nodenext"];

fn document(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(name)
}

/// What the compiled program prints on success.
fn done(command: &mut Command) -> String {
    let ended = command.output().expect("it starts");
    let told = String::from_utf8_lossy(&ended.stdout).into_owned();
    assert!(ended.status.success(), "{command:?}:\n{told}{}", String::from_utf8_lossy(&ended.stderr));
    told
}

#[test]
fn a_client_in_python_is_typed_to_the_end_and_takes_a_task_through_its_life() {
    let Some(generator) = installed::program(&format!("{OF_PYTHON}/bin/openapi-python-client")) else {
        return;
    };
    let programs = generator.parent().expect("a folder");
    let folder = tempfile::tempdir().expect("a folder");
    let client = folder.path().join("client");
    let mut generate = Command::new(&generator);
    generate.args(["generate", "--path"]).arg(document("openapi.json")).arg("--output-path").arg(&client);
    // It formats its output with a program that is installed beside it.
    done(
        generate.env("PATH", format!("{}:{}", programs.display(), std::env::var("PATH").unwrap_or_default())),
    );
    std::fs::copy(document("examples/generated/life.py"), client.join("life.py")).expect("it is there");

    let checked = done(
        Command::new(programs.join("mypy"))
            .args(["--strict", "life.py", "tenure_client"])
            .current_dir(&client),
    );
    assert!(checked.starts_with("Success: no issues found in"), "{checked}");

    let serving = Serving::start(folder.path(), &[]);
    let mut life = Command::new(programs.join("python"));
    let told = done(
        life.args(["life.py", &serving.url, "typed-python"]).current_dir(&client).env_remove("TENURE_TOKEN"),
    );
    assert_eq!(told, "typed-python completed {'answer': 42}\n");
}

#[test]
fn types_in_typescript_compile_and_take_a_task_through_its_life() {
    let Some(generator) =
        installed::program(&format!("{OF_TYPESCRIPT}/node_modules/.bin/openapi-typescript"))
    else {
        return;
    };
    let programs = generator.parent().expect("a folder");
    let folder = tempfile::tempdir().expect("a folder");
    let place = folder.path();
    std::os::unix::fs::symlink(programs.parent().expect("a folder"), place.join("node_modules"))
        .expect("a link");
    std::fs::write(place.join("package.json"), r#"{"type": "module"}"#).expect("written");
    std::fs::copy(document("examples/generated/life.ts"), place.join("life.ts")).expect("it is there");
    done(
        Command::new(&generator).arg(document("openapi.json")).args(["-o", "tenure.d.ts"]).current_dir(place),
    );
    done(Command::new(programs.join("tsc")).args(TSC).arg("life.ts").current_dir(place));

    let serving = Serving::start(place, &[]);
    let told =
        done(Command::new("node").args(["life.js", &serving.url, "typed-typescript"]).current_dir(place));
    assert_eq!(told, "typed-typescript completed {\"answer\":42}\n");
}
