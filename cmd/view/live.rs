//! The live table of a terminal: hosts by phases, what each waits for and for how long.

use super::plain::{self, clock, title};
use super::{Said, is_coloured, print, size};
use playbooks::event::{Event, Mark};
use std::time::Duration;

/// How often the table is drawn.
const FRAME: Duration = Duration::from_millis(150);

/// The row of steps that concern the whole lab.
const LAB: &str = "(lab)";

struct Row {
    host: String,
    cells: Vec<Cell>,
    doing: String,
}

#[derive(Clone, Copy, Default)]
struct Cell {
    steps: usize,
    done: usize,
    busy: bool,
    failed: bool,
}

/// Draws a table below the lines that have scrolled by.
pub struct Live {
    phases: Vec<String>,
    rows: Vec<Row>,
    drawn: usize,
    /// Whether something was said since it was drawn.
    stale: bool,
    color: bool,
    verb: &'static str,
    /// What the survey found to apply: shown before anybody is asked.
    shown: Vec<String>,
}

impl Live {
    /// An empty table.
    pub fn new() -> Self {
        Self {
            phases: Vec::new(),
            rows: Vec::new(),
            drawn: 0,
            stale: false,
            color: is_coloured(),
            verb: "",
            shown: Vec::new(),
        }
    }

    /// Draws until the events end; the table stays as it was last.
    pub async fn follow(mut self, mut events: Said) {
        let mut frame = tokio::time::interval(FRAME);
        loop {
            tokio::select! {
                event = events.next() => match event {
                    Some(event) => {
                        self.stale = true;
                        self.take(&event);
                    }
                    None => break,
                },
                // Where nothing happens, nothing is drawn: a question may stand below the table.
                _ = frame.tick(), if self.stale => self.draw(&[]),
            }
        }
        self.draw(&[]);
    }

    fn take(&mut self, event: &Event) {
        match event {
            Event::Begin { verb, phases, hosts, .. } => {
                self.verb = verb;
                self.phases.clone_from(phases);
                let names = std::iter::once(LAB).chain(hosts.iter().map(String::as_str));
                let row = |host: &str| Row {
                    host: host.to_owned(),
                    cells: vec![Cell::default(); phases.len()],
                    doing: String::new(),
                };
                self.rows = names.map(row).collect();
            }
            Event::Survey { about, mark, reason, .. } => {
                if *mark == Mark::Apply {
                    self.shown.push(plain::marked(about, mark.as_str(), reason));
                }
                let (_, cell) = self.at(about);
                cell.steps += 1;
                cell.done += usize::from(*mark == Mark::True);
            }
            Event::Applying { about, .. } => {
                let (doing, cell) = self.at(about);
                cell.busy = true;
                *doing = about.step.clone();
            }
            Event::Waiting { about, reason, seconds, within } => {
                let (doing, cell) = self.at(about);
                cell.busy = true;
                let (waited, bound) = (clock(*seconds), clock(*within));
                *doing = format!("{}: {reason} ({waited} of {bound})", about.step);
            }
            Event::StepDone { about, applied, seconds } => {
                let (doing, cell) = self.at(about);
                cell.busy = false;
                cell.done = (cell.done + 1).min(cell.steps);
                doing.clear();
                if *applied {
                    let text = format!("  {}: done in {}", title(about), clock(*seconds));
                    self.draw(&[text]);
                }
            }
            Event::StepFailed { about, error, hint, .. } => {
                let (doing, cell) = self.at(about);
                (cell.busy, cell.failed) = (false, true);
                *doing = "failed".to_owned();
                self.draw(&[plain::failure(about, error, hint.as_deref())]);
            }
            Event::Surveyed { .. } => {
                let shown = std::mem::take(&mut self.shown);
                self.draw(&shown);
            }
            // `status` says tables, and follows events line by line.
            Event::Table { .. } => {}
            Event::Note { text } => self.draw(&[format!("note: {text}")]),
            Event::Removed { what } => self.draw(&[format!("  removed {what}")]),
            Event::NotRemoved { what, error } => {
                self.draw(&[format!("error: not removed: {what}: {error}")]);
            }
            Event::Interrupted => self.draw(&["interrupted; `bp up` continues".to_owned()]),
            Event::Done { verb, sums, seconds } => {
                self.draw(&[]);
                self.drawn = 0;
                self.rows.clear();
                super::line(&plain::summary(verb, sums, *seconds));
            }
        }
    }

    fn at(&mut self, about: &playbooks::event::About) -> (&mut String, &mut Cell) {
        let host = if about.host.is_empty() { LAB } else { &about.host };
        let row = self.rows.iter().position(|r| r.host == host).unwrap_or(0);
        let phase = self.phases.iter().position(|p| *p == about.phase).unwrap_or(0);
        let row = &mut self.rows[row];
        (&mut row.doing, &mut row.cells[phase])
    }

    /// Takes the table off the screen, prints the lines where it stood, and draws it again below.
    fn draw(&mut self, lines: &[String]) {
        self.stale = false;
        let (width, height) = size();
        let mut text = String::new();
        if self.drawn > 0 {
            text.push_str(&format!("\x1b[{}A\r\x1b[J", self.drawn));
        }
        for line in lines {
            text.push_str(&plain::shown(line));
            text.push('\n');
        }
        let table = self.table(width, height);
        self.drawn = table.len();
        for line in table {
            text.push_str(&line);
            text.push('\n');
        }
        print(&text);
    }

    fn table(&self, width: usize, height: usize) -> Vec<String> {
        let name = self.rows.iter().map(|r| r.host.len()).max().unwrap_or(0);
        let head = self.phases.iter().fold(" ".repeat(name), |row, p| row + "  " + p);
        // Where the hosts do not fit, those with nothing to tell are left out.
        let room = height.saturating_sub(3);
        let told = |r: &&Row| self.rows.len() <= room || !r.doing.is_empty();
        let rows = self.rows.iter().filter(told).take(room).map(|row| {
            let mut text = format!("{:name$}", row.host);
            for (phase, cell) in self.phases.iter().zip(&row.cells) {
                text.push_str(&format!("  {:<len$}", cell.text(), len = phase.len()));
            }
            clip(&format!("{text}  {}", row.doing), width)
        });
        let rows: Vec<String> = rows.collect();
        if rows.is_empty() {
            return rows;
        }
        let head = clip(&head, width);
        let head = if self.color { format!("\x1b[1m{head}\x1b[0m") } else { head };
        std::iter::once(head).chain(rows).collect()
    }
}

impl Cell {
    fn text(self) -> String {
        match self {
            Self { steps: 0, .. } => String::new(),
            Self { failed: true, .. } => "failed".to_owned(),
            Self { busy: true, done, steps, .. } => format!("{done}/{steps}…"),
            Self { done, steps, .. } if done == steps => "=".to_owned(),
            Self { done, steps, .. } => format!("{done}/{steps}"),
        }
    }
}

fn clip(text: &str, width: usize) -> String {
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    match line.char_indices().nth(width.saturating_sub(1)) {
        Some((at, _)) => format!("{}…", &line[..at]),
        None => line.trim_end().to_owned(),
    }
}
