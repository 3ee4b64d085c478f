//! A command at a terminal of its own: its keys are pressed, and its picture is read.

use std::fs::File;
use std::io::{Read, Write};
use std::num::NonZero;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};

use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use crate::waiting::until;

/// A command with its terminal.
pub(crate) struct Screen {
    pub(crate) process: Child,
    keys: File,
    seen: Arc<Mutex<vt100::Parser>>,
}

impl Screen {
    /// Starts the command at a terminal of that many rows and columns.
    pub(crate) fn of(mut command: Command, (rows, columns): (u16, u16)) -> Screen {
        let [height, width] = [rows, columns].map(|count| NonZero::new(count).expect("a size"));
        let keys = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
        grantpt(&keys).and_then(|()| unlockpt(&keys)).expect("a terminal");
        let name = ptsname(&keys, Vec::new()).expect("its name");
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        let device =
            rustix::fs::open(name.as_c_str(), OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).expect("it");
        tcsetwinsize(&device, size).expect("a size");
        let end = || Stdio::from(device.try_clone().expect("a descriptor"));
        command.env("TERM", "xterm-256color").stdin(end()).stdout(end()).stderr(end());
        let process = command.spawn().expect("it starts");
        let keys = File::from(keys);
        let mut reader = keys.try_clone().expect("a descriptor");
        let seen = Arc::new(Mutex::new(vt100::Parser::new(height, width, 0)));
        let shown = Arc::clone(&seen);
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            // It ends with an error when nobody has the other end any more.
            while let Ok(count @ 1..) = reader.read(&mut bytes) {
                shown.lock().expect("whole").process(&bytes[..count]);
            }
        });
        Screen { process, keys, seen }
    }

    pub(crate) fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).expect("pressed");
    }

    /// What is on the screen.
    pub(crate) fn text(&self) -> String {
        self.seen.lock().expect("whole").screen().contents()
    }

    /// Waits until all of that is on the screen.
    #[track_caller]
    pub(crate) fn shows(&self, texts: &[&str]) {
        until(&format!("{texts:?}"), || {
            let text = self.text();
            texts.iter().all(|wanted| text.contains(wanted))
        });
    }

    /// Waits until that is not on the screen any more.
    #[track_caller]
    pub(crate) fn hides(&self, text: &str) {
        until(&format!("the end of {text:?}"), || !self.text().contains(text));
    }

    /// Whether the command has the whole terminal, in place of the lines that were there.
    pub(crate) fn is_taken(&self) -> bool {
        self.seen.lock().expect("whole").screen().alternate_screen()
    }

    /// Waits for the end of the command.
    pub(crate) fn ended(&mut self) -> ExitStatus {
        let mut ended = None;
        until("the end of the command", || {
            ended = self.process.try_wait().expect("it can be asked");
            ended.is_some()
        });
        ended.expect("it has ended")
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("the screen was:\n{}", self.text());
        }
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
