//! What is shown, and what a key or a new look does to that.

#![expect(clippy::wildcard_enum_match_arm, reason = "a key that nothing is said of does nothing")]

use ratatui::crossterm::event::{KeyCode, KeyEvent};
use tenure::Error;
use tenure::api::command::RandomSource;
use tenure::clock::Moment;
use tenure::core::id::TaskId;
use tenure::core::task::Task;
use tenure::core::time::Time;
use tenure_view::offers::Act;

use super::act::{Done, Given, Order};
use super::dialog::{Dialog, Menu, Pressed, type_into};
use super::keys::{self, Intent};
use super::list::{Cursor, Section, Sort, Tab, sections};
use super::look::{Look, Wanted};
use super::query::Query;
use super::style::Palette;

/// What does not change while it runs.
pub(super) struct Heading {
    pub(super) store: String,
    pub(super) namespace: String,
    /// Who acts; none: it only reads.
    pub(super) writes_as: Option<String>,
}

/// All that a picture is made of.
pub(super) struct Model {
    pub(super) heading: Heading,
    pub(super) palette: Palette,
    /// The newest look.
    pub(super) look: Option<Look>,
    /// The moment of the picture: all ages and times left in it are as of then.
    drawn_at: Moment,
    /// Why the store can't be read, while it can't.
    pub(super) trouble: Option<String>,
    pub(super) tab: Tab,
    pub(super) sort: Sort,
    pub(super) query: Query,
    pub(super) cursor: Cursor,
    /// The first row of the list that is seen.
    pub(super) first_row: usize,
    /// How many rows there is room for: one less is a screen up or down.
    pub(super) rows_seen: usize,
    /// A filter that is being typed, and what is wrong with it.
    pub(super) typed: Option<(String, Option<String>)>,
    pub(super) open: Option<Open>,
    pub(super) dialog: Option<Dialog>,
    pub(super) shows_help: bool,
    /// What was just done, or why something can't be.
    pub(super) said: Option<String>,
}

/// A task that is shown alone.
pub(super) struct Open {
    pub(super) id: TaskId,
    /// The first line that is seen.
    pub(super) scroll: usize,
    pub(super) lines: usize,
}

/// What the program must do after a key.
pub(super) enum Demand {
    Quit,
    /// Something else is wanted of the store.
    Look,
    Do(Box<Order>),
}

impl Model {
    pub(super) fn new(heading: Heading, palette: Palette) -> Model {
        Model {
            heading,
            palette,
            look: None,
            drawn_at: Moment::now(),
            trouble: None,
            tab: Tab::default(),
            sort: Sort::default(),
            query: Query::default(),
            cursor: Cursor::default(),
            first_row: 0,
            rows_seen: 0,
            typed: None,
            open: None,
            dialog: None,
            shows_help: false,
            said: None,
        }
    }

    /// What should be read for it.
    pub(super) fn wanted(&self) -> Wanted {
        Wanted { only: self.query.only.clone(), task: self.open.as_ref().map(|open| open.id.clone()) }
    }

    /// The next picture is of that moment.
    pub(super) fn is_at(&mut self, moment: Moment) {
        self.drawn_at = moment;
    }

    /// The store's time in this picture. While the store can't be read it is that of the last look, because nothing is known of what
    /// came later.
    pub(super) fn now(&self) -> Time {
        let Some(look) = &self.look else { return Time::MIN };
        look.time_at(if self.trouble.is_some() { look.read_at } else { self.drawn_at.max(look.read_at) })
    }

    pub(super) fn sections(&self) -> Vec<Section<'_>> {
        let how = (self.tab, self.sort, &self.query);
        let look = self.look.as_ref().filter(|look| look.only == self.query.only);
        look.map(|look| sections(look.listed(), how)).unwrap_or_default()
    }

    /// Takes a new look. One that failed leaves the picture as it was, and says so.
    pub(super) fn take(&mut self, look: Result<Look, Error>) {
        match look {
            Ok(look) => {
                // One that was under way when the filter changed has other tasks.
                if look.only == self.query.only {
                    (self.look, self.trouble) = (Some(look), None);
                    self.settle();
                }
            }
            Err(error) => self.trouble = Some(error.to_string()),
        }
    }

    /// What became of an order.
    pub(super) fn is_done(&mut self, done: Done, random: &dyn RandomSource) {
        let Done { given: Given { act, task, request }, outcome } = done;
        match (outcome, &mut self.dialog) {
            (Ok(then), dialog) => {
                self.said = Act::done(act.word()).map(|words| format!("{then}: {words}"));
                // Another form may have been opened meanwhile.
                if matches!(dialog, Some(Dialog::Form(form)) if form.is_sent && form.task.id == task) {
                    self.dialog = None;
                }
                if let Some(open) = self.open.as_mut().filter(|open| open.id == task) {
                    open.id = then;
                }
            }
            (Err(error), Some(Dialog::Form(form))) if form.is_of(&request) => {
                form.was_not_done(&error, random);
            }
            // Its form was closed before the answer came.
            (Err(error), _) => self.said = Some(format!("{} of {task}: {error}", act.label())),
        }
    }

    /// Does what a key says.
    pub(super) fn press(&mut self, key: KeyEvent, random: &dyn RandomSource) -> Option<Demand> {
        if keys::is_interrupt(key) {
            return Some(Demand::Quit);
        }
        self.said = None;
        if self.shows_help {
            self.shows_help = false;
            return None;
        }
        if self.dialog.is_some() {
            return self.press_in_dialog(key, random);
        }
        if self.typed.is_some() {
            return self.type_filter(key);
        }
        match keys::intent(key)? {
            Intent::Quit if self.open.is_none() => return Some(Demand::Quit),
            Intent::Help => self.shows_help = true,
            Intent::Act => self.offer(random),
            intent if self.open.is_some() => return self.in_task(intent),
            intent => return self.in_list(intent),
        }
        None
    }

    fn in_list(&mut self, intent: Intent) -> Option<Demand> {
        let page = isize::try_from(self.rows_seen.max(2) - 1).unwrap_or(isize::MAX);
        match intent {
            Intent::Up => self.step(-1),
            Intent::Down => self.step(1),
            Intent::PageUp => self.step(-page),
            Intent::PageDown => self.step(page),
            Intent::First => self.step(isize::MIN),
            Intent::Last => self.step(isize::MAX),
            Intent::NextTab => self.show(self.tab.after(1)),
            Intent::PreviousTab => self.show(self.tab.after(Tab::ALL.len() - 1)),
            Intent::Sort => {
                self.sort = self.sort.next();
                self.settle();
            }
            Intent::Filter => self.typed = Some((self.query.text.clone(), None)),
            Intent::Back if !self.query.is_empty() => return self.filter_by(Query::default()),
            Intent::Open => {
                let id = self.cursor.task.clone()?;
                self.open = Some(Open { id, scroll: 0, lines: 0 });
                return Some(Demand::Look);
            }
            Intent::Back | Intent::Act | Intent::Help | Intent::Quit => {}
        }
        None
    }

    fn in_task(&mut self, intent: Intent) -> Option<Demand> {
        let open = self.open.as_mut()?;
        let page = self.rows_seen.max(2) - 1;
        let last = open.lines.saturating_sub(self.rows_seen);
        open.scroll = match intent {
            Intent::Up => open.scroll.saturating_sub(1),
            Intent::Down => open.scroll + 1,
            Intent::PageUp => open.scroll.saturating_sub(page),
            Intent::PageDown => open.scroll + page,
            Intent::First => 0,
            Intent::Last => last,
            Intent::Back | Intent::Quit => {
                self.open = None;
                return Some(Demand::Look);
            }
            Intent::Open
            | Intent::NextTab
            | Intent::PreviousTab
            | Intent::Filter
            | Intent::Sort
            | Intent::Act
            | Intent::Help => open.scroll,
        }
        .min(last);
        None
    }

    fn press_in_dialog(&mut self, key: KeyEvent, random: &dyn RandomSource) -> Option<Demand> {
        let (now, look) = (self.now(), self.look.as_ref()?);
        let watchers = &look.snapshot.overview.recovery;
        let pressed = match self.dialog.as_mut()? {
            Dialog::Menu(menu) => menu.press(key, (watchers, now), random),
            Dialog::Form(form) => form.press(key),
        };
        match pressed {
            Pressed::Stays => None,
            Pressed::Closes => {
                self.dialog = None;
                None
            }
            Pressed::Becomes(dialog) => {
                self.dialog = Some(*dialog);
                None
            }
            Pressed::Gives(order) => Some(Demand::Do(order)),
        }
    }

    fn type_filter(&mut self, key: KeyEvent) -> Option<Demand> {
        let (text, wrong) = self.typed.as_mut()?;
        match key.code {
            KeyCode::Esc => self.typed = None,
            KeyCode::Enter => match Query::read(text) {
                Ok(query) => {
                    self.typed = None;
                    return self.filter_by(query);
                }
                Err(words) => *wrong = Some(words),
            },
            _ => {
                *wrong = None;
                type_into(text, key);
            }
        }
        None
    }

    fn filter_by(&mut self, query: Query) -> Option<Demand> {
        let is_other = query.only != self.query.only;
        self.query = query;
        self.settle();
        is_other.then_some(Demand::Look)
    }

    /// Opens the menu of what may be done with the task under the cursor, or with the open one.
    fn offer(&mut self, random: &dyn RandomSource) {
        if self.heading.writes_as.is_none() {
            self.said = Some("this only reads: start `tenure top --write` to act on tasks".to_owned());
            return;
        }
        let Some(task) = self.task() else { return };
        match Menu::of(task, self.now(), random) {
            Some(menu) => self.dialog = Some(Dialog::Menu(menu)),
            None => self.said = Some(format!("nothing can be done with {} as it is now", task.id)),
        }
    }

    /// The task that is open, or else under the cursor.
    pub(super) fn task(&self) -> Option<&Task> {
        let Some(open) = &self.open else {
            let wanted = self.cursor.task.as_ref()?;
            let sections = self.sections();
            return sections
                .iter()
                .flat_map(|section| section.tasks.iter().copied())
                .find(|task| task.id == *wanted);
        };
        let seen = self.look.as_ref()?.open.as_ref().filter(|seen| seen.id == open.id)?;
        seen.found.as_ref().map(|(task, _)| task)
    }

    fn show(&mut self, tab: Tab) {
        self.tab = tab;
        (self.cursor, self.first_row) = (Cursor::default(), 0);
        self.settle();
    }

    fn step(&mut self, by: isize) {
        if self.tab == Tab::Queues {
            // It has no cursor.
            self.first_row = self.first_row.saturating_add_signed(by);
            return;
        }
        self.with_cursor(|cursor, ids| cursor.step(ids, by));
    }

    fn settle(&mut self) {
        self.with_cursor(Cursor::settle);
    }

    fn with_cursor(&mut self, change: impl FnOnce(&mut Cursor, &[&TaskId])) {
        let mut cursor = self.cursor.clone();
        let sections = self.sections();
        let ids: Vec<&TaskId> =
            sections.iter().flat_map(|section| section.tasks.iter().map(|task| &task.id)).collect();
        change(&mut cursor, &ids);
        self.cursor = cursor;
    }
}
