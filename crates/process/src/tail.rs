//! Keeps the end of a command's output: it tells the most, and its size is bounded.

use std::collections::VecDeque;

use tokio::io::{AsyncRead, AsyncReadExt};

/// The last bytes of something.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Tail {
    bytes: VecDeque<u8>,
    bytes_max: usize,
    left_out: u64,
}

impl Tail {
    /// With at most this many bytes.
    pub fn of(bytes_max: usize) -> Tail {
        Tail { bytes_max, ..Tail::default() }
    }

    /// Adds bytes.
    pub fn push(&mut self, more: &[u8]) {
        self.bytes.extend(more);
        let over = self.bytes.len().saturating_sub(self.bytes_max);
        self.bytes.drain(..over);
        self.left_out += over as u64;
    }

    /// Reads to the end. What can't be read any more is the end, too.
    pub async fn read(&mut self, mut from: impl AsyncRead + Unpin) {
        let mut some = [0; 8 * 1024];
        while let Ok(count @ 1..) = from.read(&mut some).await {
            self.push(some.get(..count).unwrap_or_default());
        }
    }

    /// As text, trimmed. It says how many bytes were left out before it, and shows invalid UTF-8 as such.
    pub fn text(&self) -> String {
        let bytes: Vec<u8> = self.bytes.iter().copied().collect();
        let text = String::from_utf8_lossy(&bytes);
        let text = text.trim();
        match self.left_out {
            0 => text.to_owned(),
            left_out => format!("[{left_out} bytes before this were left out] {text}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_end_is_kept_and_what_is_gone_is_said() {
        let mut tail = Tail::of(8);
        tail.read(b"one two three".as_slice()).await;
        assert_eq!(tail.text(), "[5 bytes before this were left out] wo three");
        assert_eq!(Tail::of(8).text(), "");
    }
}
