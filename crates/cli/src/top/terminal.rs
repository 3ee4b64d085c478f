//! The terminal itself: its screen, which is given back whatever happens, and its keys.

use std::io::{IsTerminal, Stdout, stdin, stdout};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::event::{Event, KeyEvent, KeyEventKind, poll, read};
use tokio::sync::mpsc;

use super::draw;
use super::model::Model;
use crate::error::CliError;

/// How long the thread of the keys waits before it looks whether it is still wanted.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// A terminal that shows a picture instead of lines.
pub(super) struct Terminal {
    screen: ratatui::Terminal<CrosstermBackend<Stdout>>,
    keys: mpsc::Receiver<std::io::Result<Event>>,
    is_wanted: Arc<AtomicBool>,
}

impl Terminal {
    /// Whether there is one to show pictures on and to take keys from.
    pub(super) fn is_there() -> bool {
        stdin().is_terminal() && stdout().is_terminal()
    }

    /// Takes the whole screen. A panic gives it back, too.
    pub(super) fn enter() -> Result<Terminal, CliError> {
        let failed = |error| CliError::Failed(format!("can't take the terminal: {error}"));
        let screen = ratatui::try_init().map_err(failed)?;
        let (seen, keys) = mpsc::channel(16);
        let is_wanted = Arc::new(AtomicBool::new(true));
        let still_wanted = Arc::clone(&is_wanted);
        // Reading blocks. The thread ends soon after the screen was given back.
        std::thread::spawn(move || {
            while still_wanted.load(Ordering::Relaxed) {
                let event = match poll(LOOK_EVERY) {
                    Ok(false) => continue,
                    Ok(true) => read(),
                    Err(error) => Err(error),
                };
                let is_over = event.is_err();
                if seen.blocking_send(event).is_err() || is_over {
                    return;
                }
            }
        });
        Ok(Terminal { screen, keys, is_wanted })
    }

    pub(super) fn draw(&mut self, model: &mut Model) -> Result<(), CliError> {
        let drawn = self.screen.draw(|frame| draw::screen(frame, model));
        drawn.map(|_| ()).map_err(CliError::Output)
    }

    /// The next key; none for what is no key, such as a new size of the window.
    pub(super) async fn next_key(&mut self) -> Result<Option<KeyEvent>, CliError> {
        match self.keys.recv().await {
            Some(Ok(Event::Key(key))) if key.kind != KeyEventKind::Release => Ok(Some(key)),
            Some(Ok(_)) => Ok(None),
            Some(Err(error)) => Err(CliError::Failed(format!("can't read keys: {error}"))),
            None => Err(CliError::Failed("the terminal is gone".to_owned())),
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.is_wanted.store(false, Ordering::Relaxed);
        ratatui::restore();
    }
}
