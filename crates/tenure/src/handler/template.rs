//! The command line of an undo command, with placeholders, and the pattern of the targets that it accepts. This
//! module runs nothing.
//!
//! A client that registers compensations must not be able to choose which program runs. So the program is fixed, and
//! the whole target must match `allow`. The target is always one argument, and a target that could be read as an
//! option is refused. Nothing goes through a shell; if a template runs a shell, its script contains no placeholders.
//! Some programs take code or a command as an argument, such as `ssh`, `eval` or `python -c`. This module can't know
//! them all; for these, `allow` is the only protection.
//!
//! The placeholders are `{target}`, `{task}`, `{key}`, `{kind}`, `{namespace}`, `{seq}` and `{epoch}`. They are
//! replaced once: a placeholder inside a target is left as it is. Any other `{word}` of lowercase letters and `_` is
//! an error, because it is probably a typing error. Other braces are literal, so `{ print $1 }` and `{a,b}` need no
//! escape.

use regex::{Regex, RegexBuilder};

use crate::handler::UndoCall;

/// The largest compiled size of a pattern. It also bounds the cost of a match, which takes at most this many
/// steps for each character.
const PATTERN_BYTES_MAX: usize = 1024 * 1024;
/// How deep a pattern may be nested.
const PATTERN_DEPTH_MAX: u32 = 64;
/// How much of a target is shown where it is refused.
const SHOWN_CHARS_MAX: usize = 200;

/// A command with placeholders, and the pattern of the targets that it may be run for.
#[derive(Clone, Debug)]
pub struct Template {
    words: Vec<Word>,
    pattern: String,
    /// The pattern, anchored at both ends.
    allow: Regex,
}

impl Template {
    /// Reads the words of a command, and the pattern that the whole of a target must match, whether it has anchors or not.
    pub fn new(argv: Vec<String>, allow: &str) -> Result<Template, String> {
        let words = argv.iter().map(|text| Word::new(text)).collect::<Result<Vec<_>, _>>()?;
        let Some((program, _)) = words.split_first() else {
            return Err("the command is empty; give at least a program".into());
        };
        match program.literal() {
            None => {
                return Err(
                    "the program (the first word) must not contain a placeholder: otherwise the one who registers an undo \
                            could choose which program runs"
                        .into(),
                );
            }
            Some("") => return Err("the program (the first word) must not be empty".into()),
            Some(_) => {}
        }
        refuse_names_as_options(&words)?;
        refuse_scripts_with_placeholders(&words)?;
        Ok(Template { words, pattern: allow.to_owned(), allow: whole(allow)? })
    }

    /// Whether the command may be run for this target; if not, why.
    pub fn accepts(&self, target: &str) -> Result<(), String> {
        if !self.allow.is_match(target) {
            return Err(format!(
                "the target {} is not allowed: `{}` does not match the whole of it",
                shown(target),
                self.pattern
            ));
        }
        if target.starts_with('-')
            && before_double_dash(&self.words).any(|word| word.begins_with(Place::Target))
        {
            return Err(format!(
                "the target {} could be read as an option: put `--` before `{{target}}` if the program knows it",
                shown(target)
            ));
        }
        Ok(())
    }

    /// The program and its arguments for this call. As many as the template has, whatever the target.
    pub fn words(&self, call: &UndoCall) -> Vec<String> {
        self.words.iter().map(|word| word.filled(call)).collect()
    }
}

/// What a placeholder stands for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Place {
    Target,
    Task,
    Key,
    Kind,
    Namespace,
    Seq,
    Epoch,
}

impl Place {
    const ALL: [(&'static str, Place); 7] = [
        ("target", Place::Target),
        ("task", Place::Task),
        ("key", Place::Key),
        ("kind", Place::Kind),
        ("namespace", Place::Namespace),
        ("seq", Place::Seq),
        ("epoch", Place::Epoch),
    ];

    fn named(name: &str) -> Result<Place, String> {
        let found = Place::ALL.into_iter().find(|(known, _)| *known == name);
        found.map(|(_, place)| place).ok_or_else(|| {
            let known: Vec<String> = Place::ALL.iter().map(|(known, _)| format!("{{{known}}}")).collect();
            format!(
                "unknown placeholder `{{{name}}}`: use one of {}. To write literal braces, put something other than a \
                 lowercase letter inside, such as a blank",
                known.join(", ")
            )
        })
    }

    fn push_to(self, text: &mut String, call: &UndoCall) {
        match self {
            Place::Target => text.push_str(&call.target),
            Place::Task => text.push_str(&call.task),
            Place::Key => text.push_str(&call.key),
            Place::Kind => text.push_str(&call.kind),
            Place::Namespace => text.push_str(&call.namespace),
            Place::Seq => text.push_str(&call.seq.to_string()),
            Place::Epoch => text.push_str(&call.epoch.to_string()),
        }
    }
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Piece {
    Literal(String),
    Place(Place),
}

/// One word of the command. No two literals stand side by side in it.
#[derive(Clone, Debug)]
struct Word(Vec<Piece>);

impl Word {
    fn new(text: &str) -> Result<Word, String> {
        if text.contains('\0') {
            return Err(format!("the word {} contains a NUL character, which no argument can", shown(text)));
        }
        let (mut pieces, mut literal, mut rest) = (Vec::new(), String::new(), text);
        while let Some(at) = rest.find('{') {
            let (before, from_brace) = rest.split_at(at);
            literal.push_str(before);
            match name_in_braces(from_brace) {
                Some(name) => {
                    if !literal.is_empty() {
                        pieces.push(Piece::Literal(std::mem::take(&mut literal)));
                    }
                    pieces.push(Piece::Place(Place::named(name)?));
                    rest = &from_brace[name.len() + "{}".len()..];
                }
                None => {
                    literal.push('{');
                    rest = &from_brace["{".len()..];
                }
            }
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            pieces.push(Piece::Literal(literal));
        }
        Ok(Word(pieces))
    }

    /// The word itself, if it is the same for every call.
    fn literal(&self) -> Option<&str> {
        match self.0.as_slice() {
            [] => Some(""),
            [Piece::Literal(text)] => Some(text),
            _ => None,
        }
    }

    fn begins_with(&self, place: Place) -> bool {
        self.0.first() == Some(&Piece::Place(place))
    }

    /// Whether that is the beginning of the word for every call.
    fn begins_with_text(&self, start: &str) -> bool {
        matches!(self.0.first(), Some(Piece::Literal(text)) if text.starts_with(start))
    }

    fn filled(&self, call: &UndoCall) -> String {
        let mut text = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Literal(literal) => text.push_str(literal),
                Piece::Place(place) => place.push_to(&mut text, call),
            }
        }
        text
    }
}

/// The name between the brace that the text begins with and the next one, if only a placeholder could look like it.
fn name_in_braces(text: &str) -> Option<&str> {
    let (name, _) = text.strip_prefix('{')?.split_once('}')?;
    let fits = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    fits.then_some(name)
}

/// The words that a program may take for options: those after its own name, up to `--`.
fn before_double_dash(words: &[Word]) -> impl Iterator<Item = &Word> {
    words.iter().skip(1).take_while(|word| word.literal() != Some("--"))
}

/// Ids of tasks and namespaces can begin with `-`, too, and the creator of a task chooses them. A task is undone
/// completely or not at all, so this must not fail in the middle of it. So a template must be safe for every id.
/// The author of the template chooses the kind, and the numbers have no sign.
fn refuse_names_as_options(words: &[Word]) -> Result<(), String> {
    let named = [Place::Task, Place::Namespace, Place::Key];
    for (name, place) in Place::ALL.iter().filter(|(_, place)| named.contains(place)) {
        if before_double_dash(words).any(|word| word.begins_with(*place)) {
            return Err(format!(
                "an argument that begins with `{{{name}}}` could be read as an option: put `--` before it, or prefix it, \
                 for example with `--{name}=`"
            ));
        }
    }
    Ok(())
}

/// A shell runs its script as code. With a placeholder in it, the registrant of an undo could write that code.
fn refuse_scripts_with_placeholders(words: &[Word]) -> Result<(), String> {
    let is_shell = |word: &Word| is_program(word, &SHELLS);
    let takes_script = |word: &Word| {
        let options = word.literal().and_then(|text| text.strip_prefix('-'));
        options.is_some_and(|options| !options.starts_with('-') && options.contains('c'))
    };
    let behind_shell = || words.iter().skip_while(|word| !is_shell(word)).skip(1);
    let script = operand(behind_shell().skip_while(|word| !takes_script(word)));
    if script.is_some_and(|script| script.literal().is_none()) {
        return Err(
            "a shell would run the placeholder's value as code: keep it out of the script and pass it as \
                    an argument, as in `sh -c 'rm -- \"$1\"' sh {target}`"
                .into(),
        );
    }
    // Without `-c` the first operand is a file with a script; with `-s` the script comes from standard input.
    let is_run = words.first().is_some_and(|program| is_shell(program) || is_program(program, &RUNNERS));
    let has_script = behind_shell().any(|word| takes_script(word) || word.literal() == Some("-s"));
    if is_run && !has_script && operand(behind_shell()).is_some_and(|file| file.literal().is_none()) {
        return Err("a shell would run the placeholder's value as a script file: put a script of your own before it, \
                    or use a program that is not a shell"
            .into());
    }
    Ok(())
}

/// Programs that read their arguments as a program, or as the name of a file with one.
const SHELLS: [&str; 12] =
    ["sh", "ash", "bash", "csh", "dash", "fish", "ksh", "mksh", "rbash", "tcsh", "yash", "zsh"];
/// Programs that run the one that their arguments name.
const RUNNERS: [&str; 8] = ["chroot", "doas", "env", "nice", "nohup", "setsid", "sudo", "timeout"];

fn is_program(word: &Word, names: &[&str]) -> bool {
    word.literal().and_then(|text| text.rsplit('/').next()).is_some_and(|name| names.contains(&name))
}

/// The first of a shell's words that is no option.
fn operand<'a>(mut words: impl Iterator<Item = &'a Word>) -> Option<&'a Word> {
    let takes_a_word = |word: &Word| matches!(word.literal(), Some("-o" | "-O" | "+o" | "+O"));
    let mut next = words.next();
    while let Some(word) = next.filter(|word| word.begins_with_text("-") || word.begins_with_text("+")) {
        next = if takes_a_word(word) { words.nth(1) } else { words.next() };
    }
    next
}

/// A pattern that matches only the whole of a text. `^` and `$` of the author's own do no harm within, and `(?m)` ends with
/// the group.
fn whole(pattern: &str) -> Result<Regex, String> {
    if pattern.is_empty() {
        return Err("`allow` is empty; it would allow only the empty target".into());
    }
    let compiled = |pattern: &str| {
        let mut builder = RegexBuilder::new(pattern);
        builder.size_limit(PATTERN_BYTES_MAX).nest_limit(PATTERN_DEPTH_MAX).build()
    };
    // By itself first: `a)|(?:b` is a pattern only between our own parentheses, and would be anchored at neither end.
    compiled(pattern).map_err(|error| format!("`allow` is not a valid regular expression: {error}"))?;
    // No group is closed by a comment that `(?x)` allows at the end of a pattern.
    compiled(&format!(r"\A(?:{pattern})\z")).map_err(|error| {
        format!("`allow` must not end with a comment, because it has to match the whole target: {error}")
    })
}

/// A text for people, with invisible characters escaped.
fn shown(text: &str) -> String {
    let mut chars = text.chars();
    let beginning: String = chars.by_ref().take(SHOWN_CHARS_MAX).collect();
    let rest = if chars.next().is_some() { "…" } else { "" };
    format!("{beginning:?}{rest}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template(argv: &[&str], allow: &str) -> Result<Template, String> {
        Template::new(argv.iter().map(|word| (*word).to_owned()).collect(), allow)
    }

    fn allowing(allow: &str) -> Template {
        template(&["rm", "--", "{target}"], allow).expect(allow)
    }

    fn call(target: &str) -> UndoCall {
        UndoCall {
            key: "shop/build-42/3/7".into(),
            namespace: "shop".into(),
            task: "build-42".into(),
            seq: 3,
            kind: "remove-worktree".into(),
            target: target.into(),
            reason: None,
            epoch: 8,
            tries: 0,
        }
    }

    fn words(argv: &[&str], target: &str) -> Vec<String> {
        template(argv, "(?s).*").expect("a template").words(&call(target))
    }

    fn refused(argv: &[&str]) -> String {
        template(argv, ".*").expect_err("a refusal")
    }

    #[test]
    fn a_shell_is_not_given_its_script_by_whoever_registers_an_undo() {
        for words in [
            &["sh", "{target}"][..],
            &["/bin/bash", "-e", "--", "{target}"],
            &["sudo", "-u", "ci", "bash", "-o", "pipefail", "{target}"],
            &["env", "sh", "/srv/{target}"],
        ] {
            assert!(refused(words).contains("put a script of your own before it"), "{words:?}");
        }
        for words in [
            &["sh", "undo.sh", "{target}"][..],
            &["cp", "--", "bash", "{target}"],
            &["sh", "-s", "--", "{target}"],
        ] {
            let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            assert!(Template::new(words.clone(), "x").is_ok(), "{words:?}");
        }
    }

    #[test]
    fn options_of_a_shell_hide_no_placeholder_in_its_script() {
        for words in [
            &["bash", "-c", "-o", "pipefail", "echo {target}"][..],
            &["bash", "-c", "+e", "rm {target}"],
            &["tcsh", "-c", "rm {target}"],
        ] {
            let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            assert!(Template::new(words.clone(), "x").is_err(), "{words:?}");
        }
        let as_argument =
            ["bash", "-c", "-o", "pipefail", "rm -- \"$1\"", "sh", "{target}"].map(str::to_owned);
        assert!(Template::new(as_argument.to_vec(), "x").is_ok());
    }

    #[test]
    fn every_placeholder_is_replaced_wherever_it_stands() {
        let argv =
            ["undo", "--of={namespace}/{task}", "{target}x{target}", "{kind}", "{seq}.{epoch}", "k={key}"];
        let expected = ["undo", "--of=shop/build-42", "axa", "remove-worktree", "3.8", "k=shop/build-42/3/7"];
        assert_eq!(words(&argv, "a"), expected);
    }

    #[test]
    fn a_target_is_one_argument_and_is_not_read_again() {
        for target in ["a b  c", "$(reboot)", "`id`; rm -rf /", "{task}", "'\"\\", "*", "a\nb", ""] {
            assert_eq!(words(&["rm", "--", "{target}"], target), ["rm", "--", target]);
        }
    }

    #[test]
    fn braces_that_name_nothing_are_braces() {
        let argv =
            ["awk", "{ print $1 }", "{a,b}", "{}", "{{target}}", "${target}", "{", "}{", "{Target}", "{1}"];
        let expected = ["awk", "{ print $1 }", "{a,b}", "{}", "{t}", "$t", "{", "}{", "{Target}", "{1}"];
        assert_eq!(words(&argv, "t"), expected);
    }

    #[test]
    fn a_word_that_looks_like_a_placeholder_must_be_one() {
        for word in ["{tagret}", "a{task_id}", "{{print}}"] {
            let said = refused(&["x", word]);
            assert!(said.contains("{target}, {task}, {key}, {kind}, {namespace}, {seq}, {epoch}"), "{said}");
        }
        assert!(refused(&["x", "a{task_id}b"]).contains("`{task_id}`"));
    }

    #[test]
    fn the_program_is_never_chosen_by_a_target() {
        assert!(refused(&[]).contains("the command is empty"));
        assert!(refused(&["", "x"]).contains("empty"));
        for program in ["{target}", "/opt/{kind}/undo", "undo-{target}"] {
            assert!(refused(&[program]).contains("could choose which program runs"), "{program}");
        }
        assert!(refused(&["x", "a\0b"]).contains("NUL"));
    }

    #[test]
    fn a_pattern_must_match_the_whole_target_anchored_or_not() {
        for pattern in ["[a-z]+", "^[a-z]+$", "^[a-z]+", "[a-z]+$", "(?m)^[a-z]+$", r"\A[a-z]+\z"] {
            let template = allowing(pattern);
            assert_eq!(template.accepts("abc"), Ok(()), "{pattern}");
            for target in ["abc\n", "\nabc", "abc\nabc", "abc/..", "../abc", "abc ", "", "ABC"] {
                assert!(template.accepts(target).is_err(), "`{pattern}` must not match {target:?}");
            }
        }
    }

    #[test]
    fn every_alternative_is_anchored_at_both_ends() {
        for pattern in ["a|b|ab", "^a|b|ab$", "(?m)^a$|^b$|^ab$"] {
            let template = allowing(pattern);
            for target in ["a", "b", "ab"] {
                assert_eq!(template.accepts(target), Ok(()), "{pattern}");
            }
            for target in ["ax", "xb", "abx", "a\nb", "b\n"] {
                assert!(template.accepts(target).is_err(), "`{pattern}` must not match {target:?}");
            }
        }
    }

    #[test]
    fn a_pattern_that_closes_our_group_is_no_pattern() {
        let said = template(&["rm", "{target}"], "a)|(?:b").expect_err("unbalanced");
        assert!(said.starts_with("`allow` is not a valid regular expression: "), "{said}");
        let said = template(&["rm", "{target}"], "(?x)a|b # or").expect_err("a comment");
        assert!(said.contains("must not end with a comment"), "{said}");
        assert!(template(&["rm", "{target}"], "(?x) a # first\n | b # or\n").is_ok());
    }

    #[test]
    fn a_pattern_has_limits() {
        for pattern in ["", "(", r"(\w{1000}){1000}", &format!("{}a{}", "(".repeat(100), ")".repeat(100))] {
            assert!(template(&["rm", "{target}"], pattern).is_err(), "{pattern}");
        }
    }

    #[test]
    fn a_refused_target_is_shown_with_what_can_not_be_seen() {
        let said = allowing("^/srv/[a-z]+$").accepts("/srv/x\n\u{202e}\u{1b}[2J").expect_err("a refusal");
        let expected = r#"the target "/srv/x\n\u{202e}\u{1b}[2J" is not allowed: `^/srv/[a-z]+$` does not match the whole of it"#;
        assert_eq!(said, expected);
        let said = allowing("a").accepts(&"ä".repeat(2_000)).expect_err("a refusal");
        assert!(said.contains("ä\"… is not allowed") && said.len() < 600, "{said}");
    }

    #[test]
    fn a_target_is_never_read_as_an_option() {
        let accepts = |argv: &[&str]| template(argv, ".*").expect("a template").accepts("-rf");
        let said = accepts(&["rm", "{target}"]).expect_err("an option");
        assert!(said.contains("could be read as an option"), "{said}");
        assert!(accepts(&["rm", "{target}.old"]).is_err());
        assert!(accepts(&["rm", "{target}", "--"]).is_err(), "too late");
        assert!(accepts(&["rm", "--x", "{target}"]).is_err());
        assert!(accepts(&["rm", "--", "-v", "{target}"]).is_ok());
        assert!(accepts(&["rm", "./{target}"]).is_ok());
        assert!(accepts(&["rm", "--target={target}"]).is_ok());
        assert!(accepts(&["true"]).is_ok());
        assert_eq!(template(&["rm", "{target}"], ".*").expect("a template").accepts("a-b"), Ok(()));
    }

    #[test]
    fn nor_is_a_name_that_whoever_creates_a_task_chooses() {
        for name in ["{task}", "{namespace}", "{key}"] {
            let said = refused(&["x", name]);
            assert!(said.contains("could be read as an option"), "{said}");
            for argv in [&["x", "--", name][..], &["x", &format!("--of={name}")]] {
                assert!(template(argv, ".*").is_ok(), "{argv:?}");
            }
        }
        assert!(template(&["x", "{kind}", "{seq}", "{epoch}"], ".*").is_ok());
    }

    #[test]
    fn a_shell_s_script_has_no_placeholders() {
        for argv in [
            &["sh", "-c", "rm {target}"][..],
            &["env", "-i", "/bin/bash", "-lc", "rm {target}"],
            &["sh", "-c", "-e", "{target}"],
            &["dash", "-ec", "{target}"],
        ] {
            assert!(refused(argv).contains("as in `sh -c 'rm -- \"$1\"' sh {target}`"), "{argv:?}");
        }
        for argv in [&["sh", "-c", "rm -- \"$1\"", "sh", "{target}"][..], &["sh", "/opt/undo", "{target}"]] {
            assert!(template(argv, ".*").is_ok(), "{argv:?}");
        }
    }
}
