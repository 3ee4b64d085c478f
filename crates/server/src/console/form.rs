//! The fields of a form that a page sent.

use std::collections::BTreeMap;

use tenure::core::compensation::COMPENSATIONS_MAX;
use tenure::core::refusal::Refusal;
use tenure::core::task::LABELS_MAX;

use super::asked::required;
use crate::access::Caller;
use crate::body::pairs;
use crate::problem::Problem;

/// As many as a form of ours has: three for each compensation of a task, one for each label, and a few.
const FIELDS_MAX: usize = 3 * COMPENSATIONS_MAX + LABELS_MAX + 16;

/// The fields, each once.
pub(super) struct Form(BTreeMap<String, String>);

impl Form {
    /// Reads a body of the kind `application/x-www-form-urlencoded`.
    pub(super) fn read(text: &str) -> Result<Form, Problem> {
        let mut fields = BTreeMap::new();
        for pair in pairs(text) {
            let (name, value) = pair?;
            if fields.len() >= FIELDS_MAX {
                return Err(Refusal::invalid("form", format_args!("at most {FIELDS_MAX} fields")).into());
            }
            // Browsers end lines as forms of old did.
            if fields.insert(name, value.replace("\r\n", "\n")).is_some() {
                return Err(Refusal::invalid("form", "each field must be given only once").into());
            }
        }
        Ok(Form(fields))
    }

    /// What a field says; none if it is missing or blank.
    pub(super) fn said(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(|text| text.trim()).filter(|text| !text.is_empty())
    }

    /// Why something is done, and who says so where no token does.
    pub(super) fn reason_and_actor(&self, caller: &Caller) -> Result<(String, Option<String>), Refusal> {
        let reason = self.said("reason").ok_or_else(|| required("reason"))?.to_owned();
        Ok((reason, self.actor(caller)?))
    }

    /// Who says it, where no token does.
    pub(super) fn actor(&self, caller: &Caller) -> Result<Option<String>, Refusal> {
        match &caller.name {
            Some(_) => Ok(None),
            None => Ok(Some(self.said("actor").ok_or_else(|| required("your name"))?.to_owned())),
        }
    }

    /// The texts that are not blank of the fields with such a name and a number, such as `receipt-3`.
    pub(super) fn numbered(&self, prefix: &str) -> Vec<(u32, String)> {
        let number = |name: &str| name.strip_prefix(prefix)?.parse().ok();
        let said = self.0.keys().filter_map(|name| Some((number(name)?, self.said(name)?.to_owned())));
        let mut numbered: Vec<(u32, String)> = said.collect();
        numbered.sort_unstable();
        numbered
    }

    /// What stands behind such a beginning in the names of the boxes that are checked.
    pub(super) fn checked(&self, prefix: &str) -> Vec<String> {
        self.0.keys().filter_map(|name| Some(name.strip_prefix(prefix)?.to_owned())).collect()
    }

    /// The numbers of the boxes that are checked and have such a name, such as `waive-3`.
    pub(super) fn numbers(&self, prefix: &str) -> Vec<u32> {
        let mut numbers: Vec<u32> =
            self.0.keys().filter_map(|name| name.strip_prefix(prefix)?.parse().ok()).collect();
        numbers.sort_unstable();
        numbers
    }

    /// The numbers of such boxes that are not checked, but have a reason beside them.
    pub(super) fn reasons_of_unchecked(&self, prefix: &str) -> Vec<u32> {
        let reasons =
            self.0.keys().filter_map(|name| name.strip_prefix(prefix)?.strip_suffix("-reason")?.parse().ok());
        let is_left = |seq: &u32| {
            self.said(&format!("{prefix}{seq}-reason")).is_some()
                && !self.is_checked(&format!("{prefix}{seq}"))
        };
        reasons.filter(is_left).collect()
    }

    /// Whether a box is checked.
    pub(super) fn is_checked(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_has_texts_and_boxes() {
        let form = Form::read("reason=a+b%0D%0Ac&empty=++&waive-1=on").expect("a form");
        assert_eq!(
            (form.said("reason"), form.said("empty"), form.said("other")),
            (Some("a b\nc"), None, None)
        );
        assert!(form.is_checked("waive-1") && !form.is_checked("waive-2"));
        assert_eq!(form.numbers("waive-"), [1]);
        let form =
            Form::read("waive-1=on&waive-1-reason=gone&waive-2-reason=gone&waive-3-reason=").expect("a form");
        assert_eq!(form.reasons_of_unchecked("waive-"), [2]);
        let form = Form::read("receipt-2=closed&receipt-10=gone&receipt-3=+&unset-issue=on").expect("a form");
        assert_eq!(form.numbered("receipt-"), [(2, "closed".to_owned()), (10, "gone".to_owned())]);
        assert_eq!(form.checked("unset-"), ["issue"]);
        assert!(Form::read("a=1&a=2").is_err(), "which one?");
    }
}
