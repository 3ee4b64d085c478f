//! The words of a template, with their placeholders. Which words a command may have is not decided here.

use tenure_core::id::LabelKey;

use super::pattern::shown;
use crate::handler::UndoCall;

/// What a placeholder stands for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Place {
    Target,
    Task,
    SagaId,
    Key,
    Kind,
    Namespace,
    Seq,
    Epoch,
    /// The value of a label of the task.
    Label(LabelKey),
}

/// What the name of a label's placeholder begins with.
const LABEL: &str = "label.";

impl Place {
    /// Those that stand for the same thing in each template.
    pub(super) const FIXED: [(&'static str, Place); 8] = [
        ("target", Place::Target),
        ("task", Place::Task),
        ("saga_id", Place::SagaId),
        ("key", Place::Key),
        ("kind", Place::Kind),
        ("namespace", Place::Namespace),
        ("seq", Place::Seq),
        ("epoch", Place::Epoch),
    ];

    fn named(name: &str) -> Result<Place, String> {
        if let Some(key) = name.strip_prefix(LABEL) {
            return LabelKey::new(key)
                .map(Place::Label)
                .map_err(|invalid| format!("`{{{name}}}` names no label: a key has {}", invalid.limit));
        }
        let found = Place::FIXED.into_iter().find(|(known, _)| *known == name);
        found.map(|(_, place)| place).ok_or_else(|| {
            let known: Vec<String> = Place::FIXED.iter().map(|(known, _)| format!("{{{known}}}")).collect();
            format!(
                "unknown placeholder `{{{name}}}`: use one of {}, or {{label.KEY}}. To write literal braces, put something other than a \
                 lowercase letter inside, such as a blank",
                known.join(", ")
            )
        })
    }

    fn push_to(&self, text: &mut String, call: &UndoCall) {
        match self {
            Place::Target => text.push_str(&call.target),
            Place::Task => text.push_str(&call.task),
            Place::SagaId => text.push_str(&call.saga_id),
            Place::Key => text.push_str(&call.key),
            Place::Kind => text.push_str(&call.kind),
            Place::Namespace => text.push_str(&call.namespace),
            Place::Seq => text.push_str(&call.seq.to_string()),
            Place::Epoch => text.push_str(&call.epoch.to_string()),
            // A call without the label is not accepted.
            Place::Label(key) => {
                text.push_str(call.labels.get(key.as_str()).map(String::as_str).unwrap_or_default());
            }
        }
    }
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Piece {
    Literal(String),
    Place(Place),
}

/// One word of the command.
#[derive(Clone, Debug)]
pub(super) struct Word {
    /// As its author wrote it.
    text: String,
    /// No two literals stand side by side, and none is empty.
    pieces: Vec<Piece>,
}

impl Word {
    pub(super) fn new(text: &str) -> Result<Word, String> {
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
        Ok(Word { text: text.to_owned(), pieces })
    }

    /// The word as its author wrote it, with placeholders.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// The word itself, if it is the same for every call.
    pub(super) fn literal(&self) -> Option<&str> {
        match self.pieces.as_slice() {
            [] => Some(""),
            [Piece::Literal(text)] => Some(text),
            _ => None,
        }
    }

    /// The placeholders that a word of some call begins with. The value of a placeholder may be empty, and then the next one
    /// begins the word.
    pub(super) fn beginnings(&self, may_be_empty: impl Fn(&Place) -> bool) -> Vec<&Place> {
        let mut beginnings = Vec::new();
        for piece in &self.pieces {
            let Piece::Place(place) = piece else { break };
            beginnings.push(place);
            if !may_be_empty(place) {
                break;
            }
        }
        beginnings
    }

    /// Whether the author chose what each call's word begins with.
    pub(super) fn begins_with_literal(&self) -> bool {
        matches!(self.pieces.first(), Some(Piece::Literal(_)))
    }

    /// The labels that it has placeholders for.
    pub(super) fn labels(&self) -> impl Iterator<Item = &LabelKey> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Place(Place::Label(key)) => Some(key),
            Piece::Place(_) | Piece::Literal(_) => None,
        })
    }

    /// Whether that is the beginning of the word for every call.
    pub(super) fn begins_with_text(&self, start: &str) -> bool {
        matches!(self.pieces.first(), Some(Piece::Literal(text)) if text.starts_with(start))
    }

    pub(super) fn filled(&self, call: &UndoCall) -> String {
        let mut text = String::new();
        for piece in &self.pieces {
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
    (fits || name.starts_with(LABEL)).then_some(name)
}
