//! The live screen, and the terminal as it was afterwards.
//!
//! Invariant: however it ends (a key, a signal, a panic, the end of the mounts), the terminal is given back with its
//! cursor, its own screen and its line discipline.

use super::super::failure::Failure;
use super::super::terminal;
use super::Watched;
use super::sample::{Sample, Sampler};
use super::view::{Look, draw};
use super::watch::{Flow, Watch};
use crossterm::event::{self, Event};
use crossterm::terminal::{
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use crossterm::{cursor, execute};
use omnifs::stops::Stops;
use parking_lot::Mutex;
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use std::io::{self, Stdout};
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

/// What happens while the screen is there.
enum News {
    /// From here on a signal is news, and no end of the process.
    Ready,
    /// There is a newer look.
    Look,
    Event(Event),
    /// There is no terminal any more.
    Gone(io::Error),
    /// A signal asks for the end.
    Stop,
    /// Nothing is mounted any more.
    Ended(Failure),
    Failed(Failure),
}

/// The newest look. One that the terminal had no time for is dropped for it.
type Newest = Arc<Mutex<Option<Sample>>>;

/// A terminal that is taken. Dropping it gives it back.
struct Screen(Terminal<CrosstermBackend<Stdout>>);

impl Screen {
    fn open() -> io::Result<Screen> {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            // Whatever thread it is of: nobody is to draw over what is said.
            restore();
            before(panic);
            std::process::exit(1);
        }));
        enable_raw_mode()?;
        let opened = execute!(io::stdout(), EnterAlternateScreen, cursor::Hide)
            .and_then(|()| Terminal::new(CrosstermBackend::new(io::stdout())));
        opened.map(Screen).inspect_err(|_| restore())
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        restore();
        // The hook stays: it has nothing to give back any more, and does no harm.
    }
}

fn restore() {
    // Whatever fails here, the rest is tried.
    let _ = disable_raw_mode();
    let _ = execute!(io::stdout(), LeaveAlternateScreen, cursor::Show);
}

pub fn run(watched: Watched, interval: Duration, count: Option<u64>) -> Result<(), Failure> {
    let look = Look { interval, color: terminal::colored() };
    let unusable = |e: io::Error| {
        Failure::new(format!("cannot use the terminal: {e}"))
            .hint("--plain prints a table for each interval")
    };
    let (news, heard) = channel();
    // Each ends with the process, which does nothing else.
    let (input, newest) = (news.clone(), Newest::default());
    let looks_to = newest.clone();
    std::thread::spawn(move || look_again(&watched, interval, &news, &looks_to));
    match heard.recv() {
        Ok(News::Ready) => {}
        Ok(News::Ended(failure) | News::Failed(failure)) => return Err(failure),
        _ => return Ok(()),
    }
    let mut screen = Screen::open().map_err(unusable)?;
    std::thread::spawn(move || read_keys(&input));
    let (mut watch, mut looks) = (Watch::default(), 0);
    loop {
        screen.0.draw(|frame| draw(frame, &watch, look)).map_err(unusable)?;
        match heard.recv() {
            Ok(News::Look) => {
                let Some(sample) = newest.lock().take() else { continue };
                // The first has no rates.
                if count.is_some_and(|count| looks >= count) {
                    return Ok(());
                }
                looks += 1;
                watch.put(sample);
            }
            Ok(News::Event(Event::Key(key))) if watch.key(key) == Flow::Quit => return Ok(()),
            // Drawn anew with the next turn: another size, for one.
            Ok(News::Event(_) | News::Ready) => {}
            Ok(News::Stop) | Err(_) => return Ok(()),
            Ok(News::Gone(error)) => return Err(unusable(error)),
            Ok(News::Ended(failure) | News::Failed(failure)) => return Err(failure),
        }
    }
}

fn read_keys(news: &Sender<News>) {
    loop {
        let told = match event::read() {
            Ok(event) => news.send(News::Event(event)),
            Err(error) => {
                let _ = news.send(News::Gone(error));
                return;
            }
        };
        if told.is_err() {
            return;
        }
    }
}

fn look_again(watched: &Watched, interval: Duration, news: &Sender<News>, newest: &Newest) {
    let looking = async {
        let mut stops = Stops::new().map_err(|e| Failure::new(format!("cannot start: {e}")))?;
        let mut sampler = Sampler::default();
        let _ = news.send(News::Ready);
        loop {
            let records = watched.records();
            if records.is_empty() {
                return Ok(News::Ended(watched.ended()));
            }
            let sample = tokio::select! {
                sample = sampler.look(&records) => sample,
                _ = stops.next() => return Ok(News::Stop),
            };
            if !tell(sample, newest, news) {
                return Ok(News::Stop);
            }
            tokio::select! {
                () = tokio::time::sleep(interval) => {}
                _ = stops.next() => return Ok(News::Stop),
            }
        }
    };
    let last = match super::super::wait(looking) {
        Ok(Ok(last)) => last,
        Ok(Err(failure)) | Err(failure) => News::Failed(failure),
    };
    let _ = news.send(last);
}

/// Tells of a newer look. False: nobody is left to tell.
fn tell(sample: Sample, newest: &Newest, news: &Sender<News>) -> bool {
    let told = newest.lock().replace(sample).is_some();
    told || news.send(News::Look).is_ok()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use omnifs_support::pty::Pty;
    use std::process::Command;

    /// Not a test: a process that takes the terminal and panics. It does nothing unless the test below started it.
    #[test]
    fn child() {
        if std::env::var_os("TEST_PANIC").is_some() {
            let _screen = Screen::open().unwrap();
            let thread = std::thread::spawn(|| panic!("asked to"));
            let _ = thread.join();
            unreachable!("the hook ends the process");
        }
    }

    #[test]
    fn looks_that_a_terminal_takes_no_time_for_are_not_piled_up() {
        let ((news, heard), newest) = (channel(), Newest::default());
        for at in 0..1000 {
            assert!(tell(Sample { at, mounts: Vec::new() }, &newest, &news));
        }
        assert_eq!(heard.try_iter().count(), 1);
        assert_eq!(newest.lock().take().map(|sample| sample.at), Some(999));
        assert!(tell(Sample::default(), &newest, &news));
        drop(heard);
        newest.lock().take();
        assert!(!tell(Sample::default(), &newest, &news));
    }

    #[test]
    fn a_panic_of_any_thread_gives_the_terminal_back_and_is_shown() {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "cli::top::screen::tests::child", "--nocapture"]);
        let mut pty = Pty::spawn(command.env("TEST_PANIC", "1"), 24, 80).unwrap();
        assert_eq!(pty.ended(), Some(1), "{}", pty.contents());
        assert!(pty.was_taken(), "{}", pty.contents());
        assert!(pty.is_given_back(), "{}", pty.contents());
        assert!(pty.contents().contains("asked to"), "{}", pty.contents());
    }
}
