//! Separates code from comments and literals, and finds tests and blocks by their braces.

/// The text with comments, and all of literals, blanked out, line for line.
pub(super) fn code_only(text: &str) -> String {
    let characters: Vec<char> = text.chars().collect();
    let mut code = String::with_capacity(text.len());
    let mut at = 0;
    while at < characters.len() {
        let blank = blank_from(&characters, at);
        for character in &characters[at..at + blank] {
            code.push(if *character == '\n' { '\n' } else { ' ' });
        }
        if blank == 0 {
            code.push(characters[at]);
        }
        at += blank.max(1);
    }
    code
}

/// Where people read in a file of code.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Prose {
    Comment,
    Literal,
}

/// Comments and string literals, each with its line, counted from 0. Comments with nothing between them are one.
pub(super) fn prose(text: &str) -> Vec<(Prose, usize, String)> {
    let characters: Vec<char> = text.chars().collect();
    let mut found: Vec<(Prose, usize, String)> = Vec::new();
    let (mut at, mut line, mut goes_on) = (0, 0, false);
    while at < characters.len() {
        let length = blank_from(&characters, at);
        let piece: String = characters[at..at + length.max(1)].iter().collect();
        let is_comment = length > 0 && characters[at] == '/';
        let is_blank = length == 0 && characters[at].is_whitespace();
        let said = piece.trim_start_matches(['/', '!']);
        match found.last_mut() {
            Some((_, _, comment)) if goes_on && is_comment => comment.push_str(said),
            Some((_, _, comment)) if goes_on && is_blank => comment.push_str(&piece),
            _ if is_comment => found.push((Prose::Comment, line, said.to_owned())),
            _ if length > 0 && matches!(characters[at], '"' | 'r') => {
                found.push((Prose::Literal, line, piece.clone()));
            }
            _ => {}
        }
        goes_on = is_comment || (goes_on && is_blank);
        line += piece.matches('\n').count();
        at += length.max(1);
    }
    found
}

/// For each line of code whether it is part of a test or of a module of tests.
pub(super) fn test_lines(code: &[&str]) -> Vec<bool> {
    let mut is_test = vec![false; code.len()];
    for (at, line) in code.iter().enumerate() {
        let line = line.trim_start();
        if line.starts_with("#[cfg(test)]")
            || line.starts_with("#[test]")
            || line.starts_with("#[tokio::test")
        {
            let end = block_end(code, at).unwrap_or(at);
            is_test[at..=end].fill(true);
        }
    }
    is_test
}

/// The line in which the block ends that begins at or after that line. None where the item ends before it has one.
pub(super) fn block_end(code: &[&str], from: usize) -> Option<usize> {
    let mut brackets = 0_usize;
    let mut braces = 0_usize;
    for (at, line) in code.iter().enumerate().skip(from) {
        for character in line.chars() {
            match character {
                '(' | '[' => brackets += 1,
                ')' | ']' => brackets = brackets.saturating_sub(1),
                ';' if brackets == 0 && braces == 0 => return None,
                '{' => braces += 1,
                '}' => {
                    braces = braces.saturating_sub(1);
                    if braces == 0 {
                        return Some(at);
                    }
                }
                _ => {}
            }
        }
    }
    None
}

/// Whether the character may be part of a name.
pub(super) fn is_of_a_name(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

/// How many characters from there are a comment or a literal; 0 for code.
fn blank_from(characters: &[char], at: usize) -> usize {
    let before = at.checked_sub(1).map(|before| characters[before]);
    let rest = &characters[at..];
    match rest {
        ['/', '/', ..] => until(rest, 2, |rest| rest[0] == '\n'),
        ['/', '*', ..] => block_comment(rest),
        ['"', ..] => quoted(rest, '"'),
        ['r', ..] if before.is_none_or(|before| !is_of_a_name(before) || matches!(before, 'b' | 'c')) => {
            raw_string(rest)
        }
        ['\'', '\\', ..] | ['\'', _, '\'', ..] => quoted(rest, '\''),
        _ => 0,
    }
}

/// How long it is up to where `found` holds for what remains, from `from` on, or up to the end.
fn until(rest: &[char], from: usize, found: impl Fn(&[char]) -> bool) -> usize {
    (from..rest.len()).find(|at| found(&rest[*at..])).unwrap_or(rest.len())
}

fn block_comment(rest: &[char]) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while at < rest.len() {
        match &rest[at..] {
            ['/', '*', ..] => (depth, at) = (depth + 1, at + 2),
            ['*', '/', ..] => (depth, at) = (depth.saturating_sub(1), at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

fn quoted(rest: &[char], quote: char) -> usize {
    let mut at = 1;
    while at < rest.len() && rest[at] != quote {
        at += if rest[at] == '\\' { 2 } else { 1 };
    }
    (at + 1).min(rest.len())
}

/// `r"…"`, `r#"…"#` and so on; 0 for a name that begins with an r.
fn raw_string(rest: &[char]) -> usize {
    let hashes = rest[1..].iter().take_while(|character| **character == '#').count();
    if rest.get(1 + hashes) != Some(&'"') {
        return 0;
    }
    let closes = |rest: &[char]| {
        rest[0] == '"' && rest.len() > hashes && rest[1..=hashes].iter().all(|character| *character == '#')
    };
    (until(rest, 2 + hashes, closes) + 1 + hashes).min(rest.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_literals_are_no_code() {
        for (text, code) in [
            ("a // b\nc", "a     \nc"),
            ("a /* b /* c */ d */ e", "a                   e"),
            (r#"f("{ \" }", '{', '\'', b'}')"#, "f(        ,    ,     , b   )"),
            ("r#\"{ \"quoted\" }\"# + r", "                  + r"),
            ("br\"\\\" + r#fn", "b     + r#fn"),
            ("fn f<'a>(x: &'a str)", "fn f<'a>(x: &'a str)"),
            ("\"open", "     "),
        ] {
            assert_eq!(code_only(text), code, "{text}");
        }
    }

    #[test]
    fn lines_stay_where_they_are() {
        let text = "let a = \"one\n{two\";\n/* three\n*/ four";
        assert_eq!(code_only(text).lines().count(), text.lines().count());
    }

    #[test]
    fn a_module_of_tests_is_found_with_all_its_lines() {
        let code = ["fn a() {", "}", "#[cfg(test)]", "mod tests {", "    fn b() {}", "}", "fn c() {}"];
        assert_eq!(test_lines(&code), [false, false, true, true, true, true, false]);
        assert_eq!(test_lines(&["#[cfg(test)]", "mod tests;", "fn a() {}"]), [true, false, false]);
    }

    #[test]
    fn an_item_without_a_block_has_no_end_of_it() {
        assert_eq!(block_end(&["fn a(b: [u8; 2]);", "fn c() {", "}"], 0), None);
        assert_eq!(block_end(&["fn a(b: [u8; 2]) {", "    if b {", "    }", "}"], 0), Some(3));
    }
}
