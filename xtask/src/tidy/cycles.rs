//! The rule against cycles between the modules of a crate: a module uses none that uses it, directly or through others. So
//! each can be read, and changed, after those that it builds on.

use std::collections::{BTreeMap, BTreeSet};

use super::crates;
use super::file::File;

type Uses<'a> = BTreeMap<&'a [String], BTreeSet<&'a [String]>>;

/// No module uses one that uses it. A parent that only declares a child, or re-exports from it, does not use it.
pub(super) fn cycles(files: &[File]) -> Vec<String> {
    crates::of(files).iter().flat_map(in_cycles).collect()
}

/// Every use within a cycle.
fn in_cycles(of: &crates::Crate) -> Vec<String> {
    let uses = of.uses();
    let reached: Uses = uses.keys().map(|from| (*from, reached(&uses, from))).collect();
    let all = uses.iter().flat_map(|(from, used)| used.iter().map(|used| (*from, *used)));
    let circular = all.filter(|(from, used)| reached[used].contains(from));
    let name = |path: &[String]| if path.is_empty() { "crate".to_owned() } else { path.join("::") };
    let told = |(from, used): (&[String], &[String])| {
        format!(
            "{}: {} -> {}: they use each other, directly or through others",
            of.root,
            name(from),
            name(used)
        )
    };
    circular.map(told).collect()
}

fn reached<'a>(uses: &Uses<'a>, from: &'a [String]) -> BTreeSet<&'a [String]> {
    let (mut reached, mut waiting) = (BTreeSet::new(), vec![from]);
    while let Some(at) = waiting.pop() {
        waiting.extend(uses[at].iter().copied().filter(|used| reached.insert(*used)));
    }
    reached
}

#[cfg(test)]
mod tests {
    use super::super::file::with_folders;
    use super::*;

    /// What is found in a crate of these files.
    fn found(texts: &[(&str, &str)]) -> Vec<String> {
        let paths = with_folders(texts.iter().map(|(path, _)| *path));
        let files: Vec<File> = texts.iter().map(|(path, text)| File { path, text, known: &paths }).collect();
        cycles(&files)
    }

    const ROOT: &str = "crates/a/src/lib.rs";

    #[test]
    fn modules_that_use_each_other_are_found_by_each_of_their_uses() {
        let [one, two, three] = ["crates/a/src/one.rs", "crates/a/src/two.rs", "crates/a/src/two/three.rs"];
        let texts = [
            (ROOT, "mod one; mod two;"),
            (one, "use crate::two::three::Three; pub struct One;"),
            (two, "mod three; pub fn two() { matches!(crate::one::One, One); }"),
            (three, "pub struct Three; fn three() { super::two() }"),
        ];
        let edges =
            ["one -> two::three", "two -> one", "two::three -> two"].map(|edge| format!("{ROOT}: {edge}"));
        let expected = edges.map(|edge| format!("{edge}: they use each other, directly or through others"));
        assert_eq!(found(&texts), expected);
    }

    #[test]
    fn declaring_and_re_exporting_is_no_use_unless_the_name_is_also_used() {
        let child = ("crates/a/src/one.rs", "use super::shared; pub struct One; fn one() { shared() }");
        let passed_on = "mod one; pub use one::One; fn shared() {}";
        assert_eq!(found(&[(ROOT, passed_on), child]), [""; 0]);
        let used = format!("{passed_on} fn made() -> One {{ One }}");
        assert_eq!(found(&[(ROOT, &used), child]).len(), 2);
    }

    #[test]
    fn a_name_counts_for_the_module_that_declares_it() {
        let texts = [
            (ROOT, "mod one; mod two; pub use two::*; use one::One;"),
            ("crates/a/src/one.rs", "use crate::Two; pub struct One;"),
            ("crates/a/src/two.rs", "pub struct Two;"),
        ];
        assert_eq!(found(&texts), [""; 0]);
    }

    #[test]
    fn tests_visibilities_and_other_crates_are_no_uses() {
        let texts = [
            (ROOT, "mod one; use one::One; fn two() { std::fmt::two(); }"),
            (
                "crates/a/src/one.rs",
                "pub(super) struct One; pub(in crate) fn one() {} #[cfg(test)] mod tests { use crate::two; } \
                 #[cfg(test)] use crate::two;",
            ),
        ];
        assert_eq!(found(&texts), [""; 0]);
    }
}
