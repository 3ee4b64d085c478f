//! How a word is written so that a shell reads it as one: for commands that a person copies.

/// Quotes a word for a shell; unchanged if no character in it is special.
pub fn quoted(word: &str) -> String {
    let is_plain = |one: char| one.is_ascii_alphanumeric() || "-_./:@+=,".contains(one);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    let in_quotes = |word: &str| format!("'{}'", word.replace('\'', "'\\''"));
    if word.chars().any(char::is_control) {
        // A control character must not reach the terminal, so it is written as an escape that every shell's printf knows.
        let escape = |one: char| match one {
            '\\' => "\\\\".to_owned(),
            one if one.is_control() => {
                one.to_string().bytes().map(|byte| format!("\\0{byte:03o}")).collect::<String>()
            }
            one => one.to_string(),
        };
        return format!("\"$(printf %b {})\"", in_quotes(&word.chars().map(escape).collect::<String>()));
    }
    in_quotes(word)
}
