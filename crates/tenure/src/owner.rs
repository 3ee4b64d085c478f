//! The default name of a process, `host/pid`, by which people can find it.

use rustix::process::getpid;
use rustix::system::uname;

/// `host/pid`, in the characters that an owner may have.
pub fn of_this_process() -> String {
    const HOST_CHARS_MAX: usize = 64;
    let uname = uname();
    let host = uname.nodename().to_string_lossy();
    let host = host.split('.').next().unwrap_or_default();
    let may = |c: char| if c.is_ascii_alphanumeric() || "-_".contains(c) { c } else { '-' };
    let host: String = host.chars().map(may).take(HOST_CHARS_MAX).collect();
    let host = if host.is_empty() { "host" } else { host.as_str() };
    format!("{host}/{}", getpid().as_raw_nonzero())
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_process_has_a_name_that_an_owner_may_have() {
        let name = super::of_this_process();
        assert!(name.ends_with(&format!("/{}", std::process::id())), "{name}");
        tenure_core::id::Owner::new(name).expect("an owner's name");
    }
}
