//! Tests the HTTP API against its own description: Schemathesis sends valid and invalid requests made from
//! `openapi.json`, and no response may be a server error or have another form than described.

use std::process::Command;

use crate::installed;
use crate::serving::Serving;

/// The version that `cargo xtask test` installs.
const VERSION: &str = "4.32.5";

#[test]
fn no_request_that_its_own_description_leads_to_is_a_fault_of_the_server() {
    let Some(program) = installed::program(&format!("schemathesis-{VERSION}/bin/schemathesis")) else {
        return;
    };
    let seed = std::env::var("TENURE_TEST_SEED").unwrap_or_default();
    let seed = u32::from_str_radix(seed.get(..8).unwrap_or("7e11"), 16).unwrap_or(0x7e11);
    let folder = tempfile::tempdir().expect("a folder");
    let serving = Serving::start(folder.path(), &["--rate", "0"]);
    let asked = Command::new(program)
        .current_dir(folder.path())
        .args(["run", &format!("{}/openapi.json", serving.url)])
        .args([
            "--checks",
            "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance",
        ])
        .args(["--phases", "examples,coverage,fuzzing", "--max-examples", "10", "--request-timeout", "60"])
        // The first token that is created would make the server reject the requests after it.
        .args(["--exclude-path", "/v1/tokens", "--seed", &seed.to_string(), "--no-color"])
        .output()
        .expect("it starts");
    let told = String::from_utf8_lossy(&asked.stdout);
    assert!(asked.status.success(), "seed {seed}:\n{told}{}", String::from_utf8_lossy(&asked.stderr));
    assert!(told.contains("Test cases:"), "it asked something:\n{told}");
}
