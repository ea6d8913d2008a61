//! Polling: what changed in a scope since the last time, for services that tell of nothing.
//!
//! Three ways to ask, each with what has to be known of the last answer:
//!
//! - [`since`]: what was updated from a time on;
//! - [`digest`]: a listing that is compared with what it was;
//! - [`count`]: how many there are, which shows what was deleted.
//!
//! They are kept in the provider's cursor, which [`Poll`] reads and writes. What neither shows (what is
//! gone, what moves no time) is bounded by `recheck`: every so many seconds of the service's clock the
//! scope is reported as a gap, and everything in it is asked for again as it is used.
//!
//! ```
//! use omnifs_sdk::poll::{self, Poll, digest, since};
//! use omnifs_sdk::*;
//! # routes! { mod api = "api" { get labels() = "/labels", get issues() = "/issues" } }
//! # ids! { pub enum Id { _: immutable(), Issue(n: u64) = "issue", Labels = "labels" } }
//!
//! #[derive(Default, serde::Serialize, serde::Deserialize)]
//! struct Cursor {
//!     issues: since::Mark<60_000>,
//!     labels: digest::Listing,
//! }
//!
//! fn poll(position: &Position) -> Result<Progress> {
//!     poll::once(position, 3600, ask)
//! }
//!
//! fn ask(poll: &mut Poll, cursor: &mut Cursor) -> Result<()> {
//!     let [labels] = poll.read::<Items<serde_json::Value>, 1>([api::labels()])?;
//!     if poll.compare(&mut cursor.labels, &labels, digest::of_member("id"), None).is_some() {
//!         poll.changes.invalidated([Id::Labels]);
//!     }
//!     cursor.issues.start(poll.beginning());
//!     let since = api::issues().query("since", time::rfc3339(cursor.issues.from()));
//!     let issues = poll.note(since.ok()?).json::<Items<serde_json::Value>>()?;
//!     let seen = |issue: &serde_json::Value| since::Seen::member(issue, "updated_at");
//!     for issue in cursor.issues.pass(poll.now(), issues, seen).iter() {
//!         poll.changes.invalidated(issue["number"].as_u64().map(Id::Issue));
//!     }
//!     Ok(())
//! }
//! ```

pub mod count;
pub mod digest;
pub mod since;

use crate::http::{self, Request, Response};
use crate::{Changes, Error, NodeId, Position, Progress, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// How far back the first poll looks where nobody knows when the first answer was given, in
/// seconds. A scope is polled as soon as its first answer is there, and a call takes two minutes at
/// most.
const RECENTLY: u64 = 180;

/// One poll of one scope, on its way to a [`Progress`].
#[derive(Debug)]
pub struct Poll<'a> {
    pub position: &'a Position,
    pub changes: Changes,
    /// Of the service, in seconds; 0 before the first answer.
    now: u64,
    /// When the scope was last reported as a gap, or first polled; 0 at the first poll.
    checked: u64,
    wait: Option<u32>,
    /// The cursor proves that nothing was missed since.
    pub resumed: bool,
}

/// One poll of a scope, from its beginning to its end: `ask` asks, says what changed, and moves the
/// cursor on. Once in `recheck` seconds the scope is a gap too.
pub fn once<'a, C: DeserializeOwned + Default + Serialize>(
    position: &'a Position,
    recheck: u64,
    ask: impl FnOnce(&mut Poll<'a>, &mut C) -> Result<()>,
) -> Result<Progress> {
    let (mut poll, mut cursor) = Poll::begin(position);
    ask(&mut poll, &mut cursor)?;
    Ok(poll.end(&cursor, recheck))
}

/// What was polled of a scope that is about one object, unless that is gone: then it is removed, and the
/// scope is a gap. `subject` asks for the object. Where the service shows it, and a poll is answered by
/// 404 all the same, the credential does not reach that part of it.
pub fn unless_gone<I: NodeId>(
    position: &Position,
    polled: Result<Progress>,
    subject: Request,
    id: I,
) -> Result<Progress> {
    let Err(Error::NotFound) = polled else { return polled };
    match subject.ok() {
        Ok(_) => Err(Error::Denied("404 for a part of what the service shows".to_owned())),
        Err(Error::NotFound) => {
            let mut progress = Progress::default();
            progress.changes.removed([id]).gap(position.scope.as_str());
            Ok(progress)
        }
        Err(error) => Err(error),
    }
}

impl<'a> Poll<'a> {
    /// Begins a poll, with the cursor that the last one left, or an empty one where this is the first
    /// (`resumed` is false then). A cursor that cannot be read, by another version of the provider
    /// say, is a gap.
    pub fn begin<C: DeserializeOwned + Default>(position: &'a Position) -> (Self, C) {
        let text = position.cursor.as_deref();
        let held: Option<(u64, C)> = text.and_then(|text| serde_json::from_str(text).ok());
        let resumed = held.is_some();
        let (checked, cursor) = held.unwrap_or_default();
        let changes = Changes::default();
        let mut poll = Poll { position, changes, now: 0, checked, wait: None, resumed };
        if text.is_some() && !resumed {
            poll.gap();
        }
        (poll, cursor)
    }

    /// Takes note of the service's time and of the wait that it asks for (`X-Poll-Interval`).
    pub fn note(&mut self, answer: Response) -> Response {
        self.now = self.now.max(answer.date().unwrap_or(0));
        let wait = answer.header("x-poll-interval").and_then(|text| text.parse().ok());
        self.wait = self.wait.max(wait);
        answer
    }

    /// Several requests side by side, whatever the status of their answers, each noted.
    pub fn ask<const N: usize>(&mut self, requests: [Request; N]) -> [Result<Response>; N] {
        let mut answers = http::fetch_all(requests).into_iter();
        std::array::from_fn(|_| {
            // There is an answer to each request.
            let answer = answers.next().unwrap_or(Err(Error::NotFound));
            answer.map(|answer| self.note(answer))
        })
    }

    /// The same, where each has to succeed with JSON of one type.
    pub fn read<T: DeserializeOwned, const N: usize>(
        &mut self,
        requests: [Request; N],
    ) -> Result<[T; N]> {
        let answers = self.ask(requests).into_iter().map(|answer| answer?.ok()?.json());
        let answers: Vec<T> = answers.collect::<Result<_>>()?;
        // There is an answer to each request.
        answers.try_into().map_err(|_| Error::NotFound)
    }

    /// As [`note`](Poll::note) of an answer of which only the time is at hand, in seconds since the
    /// Unix epoch.
    pub fn note_time(&mut self, date: u64) {
        self.now = date;
    }

    /// The service's time, in milliseconds since the Unix epoch.
    pub fn now(&self) -> u64 {
        self.now * 1000
    }

    /// The time before which nothing of the scope was fetched, in milliseconds: where the first poll
    /// has to ask from. To be called after the first answer.
    pub fn beginning(&self) -> u64 {
        match self.position.since {
            0 => self.now().saturating_sub(RECENTLY * 1000),
            since => since * 1000,
        }
    }

    /// The same before any other answer. Where nobody knows when the first fetch was, `clock` is asked
    /// for, and the time with it.
    pub fn beginning_by(&mut self, clock: impl FnOnce() -> Request) -> Result<u64> {
        if !self.resumed && self.position.since == 0 {
            self.note(clock().ok()?);
        }
        Ok(self.beginning())
    }

    /// Something may have been missed.
    pub fn gap(&mut self) {
        self.changes.gap(self.position.scope.as_str());
    }

    /// Moves `held`, which is part of the cursor, on to `now`, a digest most often. Whether it was another
    /// one, or the last change, at `newest`, [may have been missed](Poll::may_have_missed).
    pub fn moved<T: PartialEq>(&self, held: &mut T, now: T, newest: Option<u64>) -> bool {
        let moved = *held != now;
        *held = now;
        self.resumed && moved || self.may_have_missed(newest)
    }

    /// Moves `held`, which is part of the cursor, on to what a listing is `now`, and answers what it shows
    /// that it did not show before. At the first poll that is news only where the last change, at
    /// `newest`, [may have been missed](Poll::may_have_missed). `key` as in
    /// [`Listing::of`](digest::Listing::of).
    pub fn compare<'i, T: Serialize>(
        &self,
        held: &mut digest::Listing,
        now: &'i [T],
        key: impl Fn(&T) -> u64,
        newest: Option<u64>,
    ) -> Option<digest::News<'i, T>> {
        let news = held.compare(now, key);
        let missed = self.may_have_missed(newest);
        (self.resumed && news.any || missed).then_some(news)
    }

    /// Whether this is the first poll, and the time of the last change, in milliseconds, one that the
    /// first fetch may have missed.
    pub fn may_have_missed(&self, newest: Option<u64>) -> bool {
        !self.resumed && newest.is_some_and(|newest| newest >= self.beginning())
    }

    /// Ends the poll. Once in `recheck` seconds it is a gap too.
    pub fn end<C: Serialize>(mut self, cursor: &C, recheck: u64) -> Progress {
        if self.checked == 0 {
            self.checked = self.now;
        } else if self.now >= self.checked + recheck {
            self.checked = self.now;
            self.gap();
        }
        // So shortly after the first fetch, what the first poll asked for reaches back to it.
        let since = self.position.since;
        let first = self.position.cursor.is_none() && since != 0 && self.now <= since + RECENTLY;
        Progress {
            changes: self.changes,
            cursor: serde_json::to_string(&(self.checked, cursor)).ok(),
            // Whatever happened since the cursor was seen, but for what the rechecks are for.
            resumed: self.resumed || first,
            wait: self.wait,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::Change;
    use crate::manifest::{Endpoint, Manifest};
    use crate::testing::{Recorded, host};

    fn position(cursor: Option<&str>) -> Position {
        Position { scope: "s".into(), cursor: cursor.map(str::to_owned), ..Position::default() }
    }

    /// A poll at this time of the service.
    fn at(now: &str, cursor: Option<&str>) -> Progress {
        let position = position(cursor);
        let (mut poll, _) = Poll::begin::<u8>(&position);
        poll.note(Response::with_headers(&[("date", now), ("x-poll-interval", "7")]));
        poll.end(&1_u8, 3600)
    }

    #[test]
    fn a_scope_is_a_gap_once_in_so_many_seconds_of_the_services_clock() {
        let first = at("Sun, 22 Nov 2026 13:00:00 GMT", None);
        assert_eq!((first.changes.0.len(), first.resumed, first.wait), (0, false, Some(7)));
        let early = at("Sun, 22 Nov 2026 13:59:59 GMT", first.cursor.as_deref());
        assert_eq!((early.changes.0.len(), early.resumed), (0, true));
        let late = at("Sun, 22 Nov 2026 14:00:00 GMT", early.cursor.as_deref());
        assert_eq!(late.changes.0, [Change::Gap("s".into())]);
        let next = at("Sun, 22 Nov 2026 14:00:09 GMT", late.cursor.as_deref());
        assert!(next.changes.0.is_empty());
    }

    #[test]
    fn a_cursor_that_cannot_be_read_is_a_gap_and_no_resumption() {
        let odd = at("Sun, 22 Nov 2026 13:00:00 GMT", Some("{\"mark\":1}"));
        assert_eq!((odd.changes.0, odd.resumed), (vec![Change::Gap("s".into())], false));
    }

    #[test]
    fn a_scope_is_over_with_its_object_and_not_with_a_part_that_is_hidden() {
        crate::routes! { mod api = "api" { get repo() = "/repo" } }
        crate::ids! { pub enum Id { _: crate::immutable(), Repo(id: u64) = "repo" } }
        const MANIFEST: Manifest = Manifest {
            endpoints: &[Endpoint {
                allow: api::RULES,
                ..Endpoint::new(api::ENDPOINT, "https://a.example", "")
            }],
            ..Manifest::new("poll", "0.1.0", "")
        };
        let position = position(None);
        let of = |polled: Result<Progress>, status: u16| {
            let mut upstream = Recorded::new().answer("GET /repo", status, &[], "{}");
            let asked = || unless_gone(&position, polled, api::repo(), Id::Repo(7));
            let (progress, trace) = host::run(MANIFEST, &mut upstream, asked);
            (progress.map(|progress| progress.changes.0), trace.requests.len())
        };
        let (gone, _) = of(Err(Error::NotFound), 404);
        assert_eq!(gone.unwrap(), [Change::Removed("repo/7".into()), Change::Gap("s".into())]);
        assert!(matches!(of(Err(Error::NotFound), 200), (Err(Error::Denied(_)), 1)));
        assert!(matches!(of(Err(Error::NotFound), 502), (Err(Error::Unavailable(_)), 1)));
        assert!(matches!(of(Err(Error::TimedOut), 404), (Err(Error::TimedOut), 0)));
        let (told, asked) = of(Ok(Progress::default()), 404);
        assert_eq!((told.unwrap(), asked), (vec![], 0), "who polled in vain asks, and nobody else");
    }

    #[test]
    fn the_first_poll_proves_all_where_the_first_fetch_was_lately() {
        for (since, proven) in [(0, false), (3_420, true), (3_419, false), (3_600, true)] {
            let position = Position { since, ..position(None) };
            let (mut poll, _) = Poll::begin::<u8>(&position);
            poll.note(Response::with_headers(&[("date", "Thu, 01 Jan 1970 01:00:00 GMT")]));
            assert_eq!(poll.end(&1_u8, 3600).resumed, proven, "{since}");
        }
    }

    #[test]
    fn what_a_listing_shows_anew_is_told_and_at_the_first_poll_only_what_may_have_been_missed() {
        let mut held = digest::Listing::default();
        let mut compare = |cursor: Option<&str>, now: &[u8], newest: Option<u64>| {
            let position = Position { since: 100, ..position(cursor) };
            let (poll, _) = Poll::begin::<u8>(&position);
            let news = poll.compare(&mut held, now, digest::of, newest)?;
            Some((news.came.len(), news.gone))
        };
        assert_eq!(compare(None, &[1], Some(99_999)), None, "it was there when it was fetched");
        assert_eq!(compare(None, &[1, 2], Some(100_000)), Some((1, 0)));
        assert_eq!(compare(Some("[1,1]"), &[1, 2], None), None, "nothing has changed");
        assert_eq!(compare(Some("[1,1]"), &[2, 3, 4], None), Some((2, 1)));
    }

    #[test]
    fn the_service_is_asked_for_its_time_only_where_nothing_else_tells_the_beginning() {
        crate::routes! { mod api = "api" { get clock() = "/clock" } }
        const MANIFEST: Manifest = Manifest {
            endpoints: &[Endpoint {
                allow: api::RULES,
                ..Endpoint::new(api::ENDPOINT, "https://a.example", "")
            }],
            ..Manifest::new("poll", "0.1.0", "")
        };
        let of = |cursor: Option<&str>, since: u64| {
            let date = [("date", "Thu, 01 Jan 1970 01:00:00 GMT")];
            let mut upstream = Recorded::new().answer("GET /clock", 200, &date, "");
            let position = Position { since, ..position(cursor) };
            let (mut poll, _) = Poll::begin::<u8>(&position);
            let begun = || poll.beginning_by(api::clock);
            let (beginning, trace) = host::run(MANIFEST, &mut upstream, begun);
            (beginning.unwrap(), trace.requests.len())
        };
        assert_eq!(of(None, 0), ((3600 - RECENTLY) * 1000, 1));
        assert_eq!(of(None, 40), (40_000, 0));
        assert_eq!(of(Some("[1,1]"), 0).1, 0, "the cursor says where it was");
    }

    #[test]
    fn a_poll_that_fails_moves_no_cursor_and_one_that_ends_does() {
        let position = position(Some("[1,7]"));
        let ask = |answer: Result<()>| {
            once(&position, 3600, |poll, cursor: &mut u8| {
                poll.note_time(2);
                *cursor += 1;
                answer
            })
        };
        assert_eq!(ask(Ok(())).unwrap().cursor.as_deref(), Some("[1,8]"));
        assert!(matches!(ask(Err(Error::TimedOut)), Err(Error::TimedOut)));
    }

    #[test]
    fn the_first_poll_asks_from_the_first_fetch_or_from_a_little_ago() {
        let mut position = position(None);
        let (mut poll, _) = Poll::begin::<u8>(&position);
        poll.note(Response::with_headers(&[("date", "Thu, 01 Jan 1970 01:00:00 GMT")]));
        assert_eq!(poll.beginning(), (3600 - RECENTLY) * 1000);
        position.since = 40;
        assert_eq!(Poll::begin::<u8>(&position).0.beginning(), 40_000);
    }
}
