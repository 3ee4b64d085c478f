//! What a program prints: the last line of its standard output, as bench/README.md describes it.

use serde::{Deserialize, Serialize};

use crate::run::Result;

/// What a program says that it did.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(super) struct Figures {
    pub(super) version: String,
    pub(super) done: u64,
    pub(super) seconds: f64,
    /// None where the program can't tell.
    pub(super) latency_us: Option<Latency>,
    /// How the program found out that the work was done, and what makes it durable.
    pub(super) checked: String,
}

/// In microseconds.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(super) struct Latency {
    pub(super) p50: f64,
    pub(super) p99: f64,
    pub(super) p999: f64,
    pub(super) max: f64,
}

impl Figures {
    pub(super) fn per_second(&self) -> f64 {
        self.done as f64 / self.seconds
    }
}

/// Of all that a program printed. Only the last line counts: what a library prints before is noise.
pub(super) fn figures_in(printed: &str) -> Result<Figures> {
    let last = printed.lines().rev().map(str::trim).find(|line| !line.is_empty());
    let last = last.ok_or("it printed nothing")?;
    let figures: Figures = serde_json::from_str(last)
        .map_err(|why| format!("its last line is not the expected JSON ({why}): {last}"))?;
    if figures.done == 0 {
        return Err("it did no work".into());
    }
    if !figures.seconds.is_finite() || figures.seconds <= 0.0 {
        return Err(format!("it says that it worked for {} seconds", figures.seconds).into());
    }
    if figures.checked.trim().is_empty() {
        return Err("it does not say how the work was checked".into());
    }
    Ok(figures)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = r#"{"version":"1.2","done":300,"seconds":2.0,"latency_us":{"p50":4,"p99":12,"p999":31,"max":90},"checked":"counted"}"#;

    #[test]
    fn only_the_last_line_counts() {
        let noise = format!("starting\n{{\"done\":1}}\n{LINE}\n\n");
        let figures = figures_in(&noise).expect("figures");
        assert_eq!((figures.done, figures.per_second()), (300, 150.0));
        assert_eq!(figures.latency_us.expect("latency").p99, 12.0);
    }

    #[test]
    fn a_program_may_have_no_latency() {
        let line = LINE.replace(r#"{"p50":4,"p99":12,"p999":31,"max":90}"#, "null");
        assert_eq!(figures_in(&line).expect("figures").latency_us, None);
    }

    #[test]
    fn what_is_not_a_result_is_refused_with_the_reason() {
        let cases = [
            (String::new(), "printed nothing"),
            (format!("{LINE}\nbye"), "bye"),
            (LINE.replace("300", "0"), "no work"),
            (LINE.replace("2.0", "0.0"), "0 seconds"),
            (LINE.replace("counted", " "), "checked"),
        ];
        for (printed, expected) in cases {
            let why = figures_in(&printed).expect_err("refused").to_string();
            assert!(why.contains(expected), "{why}");
        }
    }
}
