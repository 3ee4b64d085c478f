//! The command line of an undo command, with placeholders, and the pattern of the targets that it accepts. This
//! module runs nothing.
//!
//! A client that registers compensations must not be able to choose which program runs. So the program is fixed, and
//! the whole target must match `allow`. The target is always one argument, and an argument that could be read as an
//! option is refused unless the template's author wrote how it begins. Nothing goes through a shell; if a template runs a shell, its script contains no placeholders.
//! Some programs take code or a command as an argument, such as `ssh`, `eval` or `python -c`. This module can't know
//! them all; for these, `allow` is the only protection.
//!
//! The placeholders are `{target}`, `{task}`, `{saga_id}`, `{key}`, `{kind}`, `{namespace}`, `{seq}`, `{epoch}`, and
//! `{label.KEY}` for a label of the task. They are replaced once: a placeholder inside a target is left as it is. Any
//! other `{word}` of lowercase letters and `_` is an error, because it is probably a typing error. Other braces are
//! literal, so `{ print $1 }` and `{a,b}` need no escape.
//!
//! The creator of a task chooses its labels, as it chooses targets. So each label that the command uses needs a pattern
//! of its own, and a task without the label is not accepted.

mod pattern;
mod word;

use std::collections::BTreeMap;

use tenure_core::id::LabelKey;

use crate::handler::UndoCall;

use pattern::{Pattern, shown};
use word::{Place, Word};

/// A command with placeholders, and the patterns of the targets and labels that it may be run for.
#[derive(Clone, Debug)]
pub struct Template {
    words: Vec<Word>,
    allow: Pattern,
    /// Of each label that a task must have.
    allow_label: BTreeMap<LabelKey, Pattern>,
}

impl Template {
    /// Reads the words of a command, and the pattern that the whole of a target must match, whether it has anchors or not.
    pub fn new(argv: Vec<String>, allow: &str) -> Result<Template, String> {
        Template::with_labels(argv, allow, &BTreeMap::new())
    }

    /// The same, with patterns by the key of a label. A task must have each of these labels, and the pattern must match the
    /// whole of its value. A label that the command has a placeholder for needs one.
    pub fn with_labels(
        argv: Vec<String>,
        allow: &str,
        allow_label: &BTreeMap<String, String>,
    ) -> Result<Template, String> {
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
        refuse_scripts_with_placeholders(&words)?;
        let allow_label = label_patterns(&words, allow_label)?;
        let template = Template { words, allow: Pattern::new("allow", allow)?, allow_label };
        template.refuse_names_as_options()?;
        Ok(template)
    }

    /// Whether the command may be run for this call; if not, why.
    pub fn accepts(&self, call: &UndoCall) -> Result<(), String> {
        self.allow.allows("the target", &call.target)?;
        for (key, pattern) in &self.allow_label {
            let value = call.labels.get(key.as_str()).ok_or_else(|| {
                format!("the task has no label {key}, and `allow_label.{key}` must match its value")
            })?;
            pattern.allows(&format!("the label {key}"), value)?;
        }
        self.refuse_options(call)
    }

    /// Refuses a filled word that the program could take for an option. Which of its values is empty decides which one begins
    /// it, so the whole word is looked at.
    fn refuse_options(&self, call: &UndoCall) -> Result<(), String> {
        for word in before_double_dash(&self.words).filter(|word| !word.begins_with_literal()) {
            let filled = word.filled(call);
            if filled.starts_with('-') {
                return Err(format!(
                    "the argument {} could be read as an option: put `--` before `{}` if the program knows it",
                    shown(&filled),
                    word.text()
                ));
            }
        }
        Ok(())
    }

    /// Ids of tasks and namespaces can begin with `-`, too, and the creator of a task chooses them. A task is undone
    /// completely or not at all, so this must not fail in the middle of it. So a template must be safe for every id.
    /// The author of the template chooses the kind, and the numbers have no sign.
    fn refuse_names_as_options(&self) -> Result<(), String> {
        let named = [Place::Task, Place::SagaId, Place::Namespace, Place::Key];
        for word in before_double_dash(&self.words) {
            let beginnings = word.beginnings(|place| self.may_be_empty(place));
            let is_first = |place: &Place| beginnings.contains(&place);
            let found = Place::FIXED.iter().find(|(_, place)| named.contains(place) && is_first(place));
            if let Some((name, _)) = found {
                return Err(format!(
                    "an argument that begins with `{{{name}}}` could be read as an option: put `--` before it, or prefix it, \
                     for example with `--{name}=`{}",
                    match beginnings.len() {
                        1 => "",
                        _ => "; the patterns of the placeholders before it allow the empty text",
                    }
                ));
            }
        }
        Ok(())
    }

    /// Names, kinds and numbers have at least one character.
    fn may_be_empty(&self, place: &Place) -> bool {
        match place {
            Place::Target => self.allow.allows_empty(),
            Place::Label(key) => self.allow_label.get(key).is_some_and(Pattern::allows_empty),
            Place::Task
            | Place::SagaId
            | Place::Key
            | Place::Kind
            | Place::Namespace
            | Place::Seq
            | Place::Epoch => false,
        }
    }

    /// The program and its arguments for this call. As many as the template has, whatever the call.
    pub fn words(&self, call: &UndoCall) -> Vec<String> {
        self.words.iter().map(|word| word.filled(call)).collect()
    }
}

/// The pattern of each label, those of the placeholders among them.
fn label_patterns(
    words: &[Word],
    given: &BTreeMap<String, String>,
) -> Result<BTreeMap<LabelKey, Pattern>, String> {
    let mut patterns = BTreeMap::new();
    for (key, text) in given {
        let setting = format!("allow_label.{key}");
        let named = LabelKey::new(key.as_str())
            .map_err(|invalid| format!("`{setting}` names no label: a key has {}", invalid.limit))?;
        patterns.insert(named, Pattern::new(&setting, text)?);
    }
    let without = words.iter().flat_map(Word::labels).find(|key| !patterns.contains_key(*key));
    match without {
        None => Ok(patterns),
        Some(key) => Err(format!(
            "`{{label.{key}}}` needs `allow_label.{key}`, a regular expression that the whole value must match: \
             the creator of a task must not be able to choose any value"
        )),
    }
}

/// The words that a program may take for options: those after its own name, up to `--`.
fn before_double_dash(words: &[Word]) -> impl Iterator<Item = &Word> {
    words.iter().skip(1).take_while(|word| word.literal() != Some("--"))
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

#[cfg(test)]
mod tests {
    use tenure_core::id::Document;

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
            saga_id: "release-7".into(),
            seq: 3,
            kind: "remove-worktree".into(),
            target: target.into(),
            reason: None,
            epoch: 8,
            tries: 0,
            labels: BTreeMap::from([("issue".into(), "168".into()), ("x.y".into(), "-rf".into())]),
            payload: Document::null(),
        }
    }

    impl Template {
        fn takes(&self, target: &str) -> Result<(), String> {
            self.accepts(&call(target))
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
        let argv = [
            "undo",
            "--of={namespace}/{task}",
            "{target}x{target}",
            "{kind}",
            "{seq}.{epoch}",
            "k={key}",
            "s={saga_id}",
        ];
        let expected = [
            "undo",
            "--of=shop/build-42",
            "axa",
            "remove-worktree",
            "3.8",
            "k=shop/build-42/3/7",
            "s=release-7",
        ];
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
            assert!(
                said.contains(
                    "{target}, {task}, {saga_id}, {key}, {kind}, {namespace}, {seq}, {epoch}, or {label.KEY}"
                ),
                "{said}"
            );
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
            assert_eq!(template.takes("abc"), Ok(()), "{pattern}");
            for target in ["abc\n", "\nabc", "abc\nabc", "abc/..", "../abc", "abc ", "", "ABC"] {
                assert!(template.takes(target).is_err(), "`{pattern}` must not match {target:?}");
            }
        }
    }

    #[test]
    fn every_alternative_is_anchored_at_both_ends() {
        for pattern in ["a|b|ab", "^a|b|ab$", "(?m)^a$|^b$|^ab$"] {
            let template = allowing(pattern);
            for target in ["a", "b", "ab"] {
                assert_eq!(template.takes(target), Ok(()), "{pattern}");
            }
            for target in ["ax", "xb", "abx", "a\nb", "b\n"] {
                assert!(template.takes(target).is_err(), "`{pattern}` must not match {target:?}");
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
        let said = allowing("^/srv/[a-z]+$").takes("/srv/x\n\u{202e}\u{1b}[2J").expect_err("a refusal");
        let expected = r#"the target "/srv/x\n\u{202e}\u{1b}[2J" is not allowed: `^/srv/[a-z]+$` does not match the whole of it"#;
        assert_eq!(said, expected);
        let said = allowing("a").takes(&"ä".repeat(2_000)).expect_err("a refusal");
        assert!(said.contains("ä\"… is not allowed") && said.len() < 600, "{said}");
    }

    #[test]
    fn a_target_is_never_read_as_an_option() {
        let accepts = |argv: &[&str]| template(argv, ".*").expect("a template").takes("-rf");
        let said = accepts(&["rm", "{target}"]).expect_err("an option");
        assert!(said.contains("could be read as an option"), "{said}");
        assert!(accepts(&["rm", "{target}.old"]).is_err());
        assert!(accepts(&["rm", "{target}", "--"]).is_err(), "too late");
        assert!(accepts(&["rm", "--x", "{target}"]).is_err());
        assert!(accepts(&["rm", "--", "-v", "{target}"]).is_ok());
        assert!(accepts(&["rm", "./{target}"]).is_ok());
        assert!(accepts(&["rm", "--target={target}"]).is_ok());
        assert!(accepts(&["true"]).is_ok());
        assert_eq!(template(&["rm", "{target}"], ".*").expect("a template").takes("a-b"), Ok(()));
    }

    #[test]
    fn an_empty_value_does_not_make_the_next_one_an_option() {
        let any = [("a", "[a-z]*"), ("b", "(?s).*")];
        let of = |word: &str| with_labels(&["printf", word], &any).expect(word);
        let call_with = |a: &str, b: &str, target: &str| {
            let labels = [("a", a), ("b", b)].map(|(key, value)| (key.to_owned(), value.to_owned()));
            UndoCall { labels: labels.into(), ..call(target) }
        };
        for (word, a, b, target) in [
            ("{label.a}{target}", "", "x", "--version"),
            ("{label.a}{label.b}", "", "--version", "x"),
            ("{target}{label.b}", "x", "-rf", ""),
            ("{label.a}{target}{label.b}", "", "-v", ""),
        ] {
            let said = of(word).accepts(&call_with(a, b, target)).expect_err(word);
            assert!(
                said.contains("could be read as an option: put `--` before `") && said.contains(word),
                "{said}"
            );
        }
        for (word, a, b, target) in [
            ("{label.a}{target}", "x", "", "--version"),
            ("of={label.a}{target}", "", "", "--version"),
            ("{seq}{target}", "", "", "--version"),
        ] {
            assert_eq!(of(word).accepts(&call_with(a, b, target)), Ok(()), "{word}");
        }
    }

    #[test]
    fn a_name_behind_what_may_be_empty_begins_the_word() {
        for word in ["{label.a}{task}", "{label.a}{label.a}{key}", "{target}{namespace}"] {
            let said = with_labels(&["x", word], &[("a", "[a-z]*")]).expect_err(word);
            assert!(
                said.contains("could be read as an option") && said.contains("allow the empty text"),
                "{said}"
            );
        }
        for (word, pattern) in
            [("{label.a}{task}", "[a-z]+"), ("{label.a}:{task}", "[a-z]*"), ("{seq}{task}", "x")]
        {
            assert!(with_labels(&["x", word], &[("a", pattern)]).is_ok(), "{word} {pattern}");
        }
    }

    #[test]
    fn nor_is_a_name_that_whoever_creates_a_task_chooses() {
        for name in ["{task}", "{saga_id}", "{namespace}", "{key}"] {
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

    fn with_labels(argv: &[&str], patterns: &[(&str, &str)]) -> Result<Template, String> {
        let argv = argv.iter().map(|word| (*word).to_owned()).collect();
        let patterns = patterns.iter().map(|(key, text)| ((*key).to_owned(), (*text).to_owned())).collect();
        Template::with_labels(argv, ".*", &patterns)
    }

    #[test]
    fn a_label_is_an_argument_when_its_own_pattern_matches_the_whole_of_it() {
        let argv = ["x", "--issue={label.issue}", "{label.issue}"];
        let said = with_labels(&argv, &[]).expect_err("no pattern");
        assert!(said.starts_with("`{label.issue}` needs `allow_label.issue`"), "{said}");
        let template = with_labels(&argv, &[("issue", "^[0-9]+$")]).expect("a template");
        assert_eq!(template.takes("a"), Ok(()));
        assert_eq!(template.words(&call("a")), ["x", "--issue=168", "168"]);
        for (value, words) in [
            (
                Some("168; reboot"),
                r#"the label issue "168; reboot" is not allowed: `^[0-9]+$` does not match"#,
            ),
            (None, "the task has no label issue, and `allow_label.issue` must match its value"),
        ] {
            let labels = value.map(|value| ("issue".to_owned(), value.to_owned()));
            let refused = template.accepts(&UndoCall { labels: labels.into_iter().collect(), ..call("a") });
            assert!(refused.as_ref().is_err_and(|said| said.starts_with(words)), "{refused:?}");
        }
    }

    #[test]
    fn a_pattern_of_a_label_without_a_placeholder_must_match_too() {
        let template = with_labels(&["x"], &[("issue", "1..")]).expect("a template");
        assert_eq!(template.takes("a"), Ok(()));
        assert!(template.accepts(&UndoCall { labels: BTreeMap::new(), ..call("a") }).is_err());
    }

    #[test]
    fn a_label_is_never_read_as_an_option_and_never_a_program_or_a_script() {
        let any = [("x.y", "(?s).*")];
        let said = with_labels(&["rm", "{label.x.y}"], &any).expect("a template").takes("a");
        assert!(said.is_err_and(|said| said.contains("put `--` before `{label.x.y}`")));
        assert_eq!(with_labels(&["rm", "--", "{label.x.y}"], &any).expect("a template").takes("a"), Ok(()));
        assert!(with_labels(&["{label.x.y}"], &any).is_err());
        assert!(with_labels(&["sh", "-c", "{label.x.y}"], &any).is_err());
        assert!(with_labels(&["x", "{label.}"], &any).is_err_and(|said| said.contains("names no label")));
        let said = with_labels(&["x"], &[("a b", "x")]).expect_err("no key");
        assert!(said.starts_with("`allow_label.a b` names no label"), "{said}");
        let said = with_labels(&["x"], &[("a", "(")]).expect_err("no pattern");
        assert!(said.starts_with("`allow_label.a` is not a valid regular expression"), "{said}");
    }
}
