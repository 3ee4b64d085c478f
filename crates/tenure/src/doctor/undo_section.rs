//! The command that adds a section to recovery's settings file, for a kind of undo that nobody handles. It changes no other section.

use std::collections::BTreeSet;

use crate::shell::quoted;

/// Appends the section of a kind to a file. Its pattern takes these targets, and others of the same characters.
///
/// A kind may have characters that a bare key of TOML can't have, so it is quoted. No kind has one that a string of TOML or a format of
/// `printf` would change.
pub(super) fn append_section<'t>(
    kind: &str,
    targets: impl IntoIterator<Item = &'t str>,
    file: &str,
) -> String {
    // The file may end without a line break.
    let format = r#"'\n[undo."%s"]\nrun = ["%s", "{target}"]\nallow = "%s"\n'"#;
    // In a string of TOML a backslash is written twice.
    let allow = allow_for(targets).replace('\\', r"\\");
    format!("printf {format} {kind} {kind} {} >> {}", quoted(&allow), quoted(file))
}

/// A regular expression that matches each of these targets: one class of characters, as narrow as they allow.
fn allow_for<'t>(targets: impl IntoIterator<Item = &'t str>) -> String {
    let (mut letters, mut others) = ([false; 3], BTreeSet::new());
    let (mut can_be_empty, mut has_others) = (false, false);
    for target in targets {
        can_be_empty |= target.is_empty();
        for one in target.chars() {
            match one {
                'a'..='z' => letters[0] = true,
                'A'..='Z' => letters[1] = true,
                '0'..='9' => letters[2] = true,
                one if one.is_ascii() => drop(others.insert(one)),
                // One by one they could be thousands.
                _ => has_others = true,
            }
        }
    }
    let ranges = ["a-z", "A-Z", "0-9"].into_iter().zip(letters).filter(|(_, is_there)| *is_there);
    let mut class: String = ranges.map(|(range, _)| range).collect();
    for one in others {
        match one {
            '_' | '.' | '/' | ':' | '@' | '+' | '=' | ',' => class.push(one),
            // Whatever means something to a class, to TOML or to a shell is written as its number.
            one => class += &format!(r"\x{{{:x}}}", u32::from(one)),
        }
    }
    if has_others {
        class += r"\x{80}-\x{10ffff}";
    }
    match (class.is_empty(), can_be_empty) {
        (true, _) => "^$".to_owned(),
        (false, false) => format!("[{class}]+"),
        (false, true) => format!("[{class}]*"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_takes_the_targets_that_it_is_made_for_and_no_other_character() {
        assert_eq!(allow_for(["pr/12"]), "[a-z0-9/]+");
        assert_eq!(allow_for(["A b", ""]), r"[a-zA-Z\x{20}]*");
        assert_eq!(allow_for([r#"x-]\'"^"#]), r"[a-z\x{22}\x{27}\x{2d}\x{5c}\x{5d}\x{5e}]+");
        assert_eq!(allow_for(["ü\n"]), r"[\x{a}\x{80}-\x{10ffff}]+");
        assert_eq!(allow_for([""]), "^$");
    }

    #[test]
    fn a_section_is_quoted_and_begins_on_a_line_of_its_own() {
        let command = append_section("k8s:pod/x", ["a b"], "my undo.toml");
        assert_eq!(
            command,
            r#"printf '\n[undo."%s"]\nrun = ["%s", "{target}"]\nallow = "%s"\n' k8s:pod/x k8s:pod/x '[a-z\\x{20}]+' >> 'my undo.toml'"#
        );
    }
}
