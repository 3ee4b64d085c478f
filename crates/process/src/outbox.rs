//! Sends the program's messages to its warden. Sending never blocks, so a renewed limit reaches the warden at once,
//! even if the rest of the program is busy.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, watch};

use super::limit::Limit;
use super::protocol::Word;

/// A stopped warden reads nothing. The newest limit is always kept, and this many other messages.
const WORDS_MAX: usize = 64;

#[derive(Debug)]
pub(super) struct Outbox {
    line: UnixStream,
    waiting: Mutex<Waiting>,
    /// The messages should be written when there is room.
    held_up: Notify,
    newest: watch::Sender<Option<Limit>>,
}

#[derive(Default, Debug)]
struct Waiting {
    /// The rest of a line that was begun.
    begun: Vec<u8>,
    limit: Option<Limit>,
    words: VecDeque<Word>,
}

impl Outbox {
    /// Onto that line, which doesn't block. The limit is the one that the warden knows.
    pub(super) fn new(line: UnixStream, limit: Option<Limit>) -> Outbox {
        let newest = watch::Sender::new(limit);
        Outbox { line, waiting: Mutex::default(), held_up: Notify::new(), newest }
    }

    /// The limit that was sent last.
    pub(super) fn newest_limit(&self) -> watch::Receiver<Option<Limit>> {
        self.newest.subscribe()
    }

    /// Sends the message, or keeps it until there is room.
    pub(super) fn say(&self, word: Word) {
        let mut waiting = self.waiting();
        match word {
            Word::Until(limit) => {
                waiting.limit = Some(limit);
                self.newest.send_replace(Some(limit));
            }
            Word::Signal(_) | Word::Stop(_) | Word::Kill | Word::Resume => {
                if waiting.words.len() == WORDS_MAX {
                    waiting.words.pop_front();
                }
                waiting.words.push_back(word);
            }
        }
        self.write(&mut waiting);
    }

    /// Sends the kept messages.
    pub(super) fn flush(&self) {
        self.write(&mut self.waiting());
    }

    /// Resolves when [`Outbox::flush`] should be called as soon as there is room.
    pub(super) async fn is_held_up(&self) {
        self.held_up.notified().await;
    }

    /// Closes the connection. The warden takes it as the end of its program.
    pub(super) fn close(&self) {
        // A warden that has ended needs no message.
        let _ = self.line.shutdown(Shutdown::Write);
    }

    /// No code panics while it holds the lock, so what waits is whole.
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, waiting: &mut Waiting) {
        loop {
            if waiting.begun.is_empty() {
                let next = waiting.limit.take().map(Word::Until).or_else(|| waiting.words.pop_front());
                let Some(word) = next else { return };
                waiting.begun = word.line().into_bytes();
            }
            match (&self.line).write(&waiting.begun) {
                Ok(count) => drop(waiting.begun.drain(..count)),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.held_up.notify_one();
                    return;
                }
                // The warden is gone; the listener notices that.
                Err(_) => return,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use tenure_clock::Moment;

    #[test]
    fn a_warden_that_reads_late_hears_the_newest_limit_and_whole_lines() {
        let (here, mut there) = UnixStream::pair().expect("a pair");
        here.set_nonblocking(true).expect("set");
        let outbox = Outbox::new(here, None);
        let limit = |at| Limit { ask: Moment::from_micros(at), kill: Moment::from_micros(at) };
        for at in 0..20_000 {
            outbox.say(Word::Until(limit(at)));
        }
        outbox.say(Word::Kill);
        there.set_nonblocking(true).expect("set");
        let mut heard = Vec::new();
        for _ in 0..3 {
            let _ = there.read_to_end(&mut heard);
            outbox.flush();
        }
        let heard = String::from_utf8(heard).expect("text");
        let words: Vec<_> = heard.lines().map(|line| Word::read(line).expect("a word")).collect();
        assert_eq!(words[words.len() - 2..], [Word::Until(limit(19_999)), Word::Kill]);
    }
}
