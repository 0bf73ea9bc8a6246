//! What the operator sees. The only place that prints.

mod live;
mod plain;
mod table;

use crate::exit::{Error, Exit};
use live::Live;
use plain::Plain;
use playbooks::event::{self, Event};
use serde::Serialize;
use std::io::{self, BufRead, IsTerminal, Write};
use std::sync::{Arc, OnceLock};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;

/// A view that follows the events of a run until they end.
pub struct View {
    marks: UnboundedSender<Event>,
    shown: Arc<Notify>,
    printing: JoinHandle<()>,
}

impl View {
    /// Starts to print; the sender takes the events.
    pub fn start(json: bool, verb: &'static str) -> (Self, UnboundedSender<Event>) {
        let (sender, events) = unbounded_channel();
        let shown = Arc::<Notify>::default();
        let events = Said { events, shown: shown.clone() };
        let live = !json && verb == "up" && is_terminal();
        let printing = tokio::spawn(async move {
            if json {
                as_json(events).await;
            } else if live {
                Live::new().follow(events).await;
            } else {
                Plain::new(verb).follow(events).await;
            }
        });
        (Self { marks: sender.clone(), shown, printing }, sender)
    }

    /// Waits until everything that was said is printed.
    pub async fn end(self) {
        // The channel is in order: what is behind this mark was never said.
        let _ = self.marks.send(Event::Note { text: END.to_owned() });
        let _ = self.printing.await;
    }

    /// Waits until everything that was said so far is printed, so that a question stands below it.
    pub async fn shown(&self) {
        if self.marks.send(Event::Note { text: SHOWN.to_owned() }).is_ok() {
            self.shown.notified().await;
        }
    }
}

/// The mark that ends a view; no remark is empty.
const END: &str = "";

/// The mark that asks whether all before it is shown; no remark is a blank.
const SHOWN: &str = " ";

/// What was said, in order, until the end.
struct Said {
    events: UnboundedReceiver<Event>,
    shown: Arc<Notify>,
}

impl Said {
    /// The next event; what came before it has been printed when this is asked.
    async fn next(&mut self) -> Option<Event> {
        loop {
            match self.events.recv().await? {
                Event::Note { text } if text == END => return None,
                Event::Note { text } if text == SHOWN => self.shown.notify_one(),
                event => return Some(event),
            }
        }
    }
}

async fn as_json(mut events: Said) {
    while let Some(event) = events.next().await {
        line(&event::line(&event));
    }
}

/// Whether a table can be drawn.
fn is_terminal() -> bool {
    io::stdout().is_terminal() && std::env::var_os("TERM").is_some_and(|t| t != "dumb")
}

/// Whether a terminal wants colours.
fn is_coloured() -> bool {
    is_terminal() && std::env::var_os("NO_COLOR").is_none()
}

/// Columns and lines of the terminal; 80 by 24 where it does not say.
fn size() -> (usize, usize) {
    let size = terminal_size::terminal_size();
    size.map_or((80, 24), |(w, h)| (usize::from(w.0), usize::from(h.0)))
}

/// Whether there is somebody to ask.
pub fn is_interactive() -> bool {
    io::stdin().is_terminal() && io::stdout().is_terminal()
}

/// Asks; anything but a yes is a no.
pub async fn confirm(question: &str) -> bool {
    print(&format!("{question} [y/N] "));
    let (sender, answer) = oneshot::channel();
    // A thread that nobody waits for: where the operator stops instead of answering, it still reads.
    std::thread::spawn(move || {
        let mut answer = String::new();
        let _ = io::stdin().lock().read_line(&mut answer);
        let _ = sender.send(answer);
    });
    matches!(answer.await.unwrap_or_default().trim(), "y" | "Y" | "yes")
}

/// So many of something: `1 host`, `2 hosts`.
pub fn count(number: usize, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}

/// A table on standard output.
pub fn table(title: &str, head: &[String], rows: &[Vec<String>]) {
    let width = is_terminal().then(|| size().0);
    line(table::text(title, head, rows, width, is_coloured()).trim_start_matches('\n'));
}

/// One line on standard output.
pub fn line(text: &str) {
    print(&format!("{text}\n"));
}

/// Why something that was to be printed is lost.
static LOST: OnceLock<String> = OnceLock::new();

/// Prints on standard output, at once. A reader that has gone away ends the printing, not the run; a
/// disk that is full does so, too, and is an error in the end.
fn print(text: &str) {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            let _ = LOST.set(error.to_string());
        }
        _ => {}
    }
}

/// How a command ends: as it says, unless not all of what it said could be printed.
pub fn printed(exit: Exit) -> Exit {
    match LOST.get() {
        Some(why) if matches!(exit, Exit::Done | Exit::Differs) => {
            // Standard output takes no JSON any more.
            stderr(&format!("error: print to standard output: {why}"));
            Exit::Failed
        }
        _ => exit,
    }
}

/// Text on standard error.
pub fn stderr(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{}", text.trim_end());
}

/// A remark on standard error.
pub fn note(text: &str) {
    stderr(&format!("note: {text}"));
}

/// One JSON object of this kind on standard output.
pub fn json_line(event: &str, body: &impl Serialize) {
    #[derive(Serialize)]
    struct Line<'a, T> {
        v: u32,
        event: &'a str,
        #[serde(flatten)]
        body: &'a T,
    }
    line(&serde_json::to_string(&Line { v: 1, event, body }).unwrap_or_default());
}

/// Prints the error that ends a command.
pub fn error(json: bool, error: &Error) -> Exit {
    if json {
        let body = serde_json::json!({
            "error": error.message, "hint": error.hint, "exit": error.exit as u8,
        });
        json_line("error", &body);
    } else {
        stderr(&format!("error: {}", error.message));
        if let Some(hint) = &error.hint {
            stderr(&format!("hint: {hint}"));
        }
    }
    error.exit
}
