//! What was updated from a time on.
//!
//! The *mark* is the newest time of an update that was seen. A change may become visible after a later
//! one has, with the earlier time that it carries: services answer from replicas. So each question asks
//! from a little before the mark, the *overlap*, and what the last answer showed there is known by its
//! digest. The same question is asked until something changes, which a service can answer by a 304.

use super::Poll;
use super::digest::{self, Digests};
use crate::http::Request;
use crate::{Items, Result, time};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Updates that are known one by one, the newest first. Beyond that a change within the overlap tells
/// the older ones again, which costs requests and shows nothing wrong. Several marks fit into a cursor.
const KNOWN: usize = 64;

/// How far a listing by time of update has been read. `OVERLAP` in milliseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark<const OVERLAP: u64> {
    /// In milliseconds since the Unix epoch.
    at: u64,
    /// Of everything within the overlap.
    all: u64,
    known: Digests,
}

/// An update as an answer shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    at: u64,
    digest: u64,
}

impl Seen {
    /// `item` says whatever tells two updates apart: a time that counts seconds does not. `None`
    /// where its time cannot be read; such an item is asked about in every answer.
    pub fn of(item: &impl Serialize, at: Option<u64>) -> Option<Self> {
        Some(Seen { at: at?, digest: digest::of(item) })
    }

    /// The same of an object that says its time in a member, as RFC 3339 has it.
    pub fn member(object: &Value, name: &str) -> Option<Self> {
        Seen::of(object, time::member_ms(object, name))
    }
}

/// Every item of a listing that ascends by time, from the first page on. Each further page is asked for
/// from the time of the last item on, not by its number: an item that moves to the end meanwhile
/// would shift another one over the edge of two pages, and it would be missed. More than `most` items,
/// or a page of one time alone, is a gap. `at` is the time of an item in milliseconds since the Unix
/// epoch, and `ask` the request for those from such a time on.
pub fn pages<T: DeserializeOwned + PartialEq>(
    poll: &mut Poll,
    first: Items<T>,
    full: usize,
    most: usize,
    at: impl Fn(&T) -> Option<u64>,
    ask: impl Fn(u64) -> Request,
) -> Result<Items<T>> {
    let (mut all, mut page, mut from): (Items<T>, _, _) = (Items::default(), first, 0);
    loop {
        let (more, last) = (page.count >= full, page.last().and_then(&at));
        page.retain(|item| !all.contains(item));
        all.append(page);
        match last {
            _ if !more => return Ok(all),
            Some(last) if last > from && all.len() < most => from = last,
            _ => {
                poll.gap();
                return Ok(all);
            }
        }
        page = poll.note(ask(from).ok()?).json()?;
    }
}

impl<const OVERLAP: u64> Mark<OVERLAP> {
    /// Nothing has been seen yet; everything from this time on is news.
    pub fn new(at: u64) -> Self {
        Mark { at, ..Mark::default() }
    }

    /// As [`new`](Mark::new), unless it has moved since.
    pub fn start(&mut self, at: u64) {
        if *self == Mark::default() {
            self.at = at;
        }
    }

    /// The time to ask from, itself included, in milliseconds since the Unix epoch.
    pub fn from(&self) -> u64 {
        self.at.saturating_sub(OVERLAP)
    }

    /// The newest update seen, in milliseconds since the Unix epoch.
    pub fn at(&self) -> u64 {
        self.at
    }

    /// Moves on over what the service answered to a question from [`from`](Mark::from), and leaves
    /// those of `items` that the last answer did not show, in their order. Older ones, as a page that
    /// knows no `since` holds them, are no news. Times beyond `now` count as
    /// `now`: one wrong year would hide all that follows. An item without a time is news each time.
    pub fn pass<T>(
        &mut self,
        now: u64,
        mut items: Items<T>,
        seen: impl Fn(&T) -> Option<Seen>,
    ) -> Items<T> {
        let bounded = |seen: Seen| Seen { at: seen.at.min(now), ..seen };
        let all: Vec<Option<Seen>> = items.iter().map(|item| seen(item).map(bounded)).collect();
        let before = std::mem::take(self);
        self.at = all.iter().flatten().map(|seen| seen.at).fold(before.at, u64::max);
        let from = self.from();
        let mut again: Vec<Seen> =
            all.iter().flatten().filter(|seen| seen.at >= from).copied().collect();
        again.sort_unstable_by_key(|seen| (std::cmp::Reverse(seen.at), seen.digest));
        self.all = digest::sum(again.iter().map(|seen| seen.digest));
        self.known = again.iter().take(KNOWN).map(|seen| seen.digest).collect();

        let asked = |seen: &&Seen| seen.at >= before.from();
        let shown = all.iter().flatten().filter(asked).map(|seen| seen.digest);
        let same = digest::sum(shown) == before.all;
        let fresh = |seen: &Option<Seen>| match seen {
            Some(seen) => !same && asked(&seen) && !before.known.contains(seen.digest),
            None => true,
        };
        let mut of_each = all.iter();
        items.retain(|_| of_each.next().is_some_and(fresh));
        items
    }

    /// As [`pass`](Mark::pass), of the page of the newest items, whose service knows no `since`. Where a
    /// full page of `full` items is all news, there may be more behind it, and it is a gap.
    pub fn pass_newest<T>(
        &mut self,
        poll: &mut Poll,
        page: Items<T>,
        full: usize,
        seen: impl Fn(&T) -> Option<Seen>,
    ) -> Items<T> {
        let shown = page.len();
        let news = self.pass(poll.now(), page, seen);
        if news.count() >= full && news.len() == shown {
            poll.gap();
        }
        news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_800_000_000_000;
    type Of10 = Mark<10_000>;

    fn pass(mark: &mut Of10, items: &[(&'static str, u64)]) -> Vec<&'static str> {
        let news = mark.pass(NOW, items.to_vec().into(), |item| Seen::of(item, Some(item.1)));
        // What is kept survives its text.
        *mark = serde_json::from_str(&serde_json::to_string(mark).unwrap()).unwrap();
        news.iter().map(|(name, _)| *name).collect()
    }

    #[test]
    fn each_change_is_news_once_and_a_second_one_at_the_same_time_too() {
        let mut mark = Of10::new(100_000);
        assert_eq!(mark.from(), 90_000);
        assert_eq!(pass(&mut mark, &[("a", 100_000), ("b", 107_000)]), ["a", "b"]);
        assert_eq!(pass(&mut mark, &[("a", 100_000), ("b", 107_000)]), [""; 0]);
        let again = [("a", 100_000), ("b, edited within the second", 107_000)];
        assert_eq!(pass(&mut mark, &again), ["b, edited within the second"]);
    }

    #[test]
    fn a_change_that_shows_late_with_an_older_time_is_news() {
        let mut mark = Of10::new(100_000);
        assert_eq!(pass(&mut mark, &[("first", 108_000)]), ["first"]);
        assert_eq!(mark.from(), 98_000);
        assert_eq!(pass(&mut mark, &[("late", 103_000), ("first", 108_000)]), ["late"]);
        assert_eq!(mark.at(), 108_000, "the mark never moves back");
        assert_eq!(pass(&mut mark, &[("late", 103_000), ("first", 108_000)]), [""; 0]);
        assert_eq!(pass(&mut mark, &[]), [""; 0], "what is gone is no news here");
        assert_eq!(pass(&mut mark, &[("old", 97_999)]), [""; 0], "nobody asked for it");
    }

    #[test]
    fn more_changes_than_are_known_one_by_one_are_told_once_too() {
        let mut mark = Of10::new(100_000);
        let mut burst: Vec<(&str, u64)> = (0..1_000).map(|n| ("x", 100_000 + n)).collect();
        assert_eq!(pass(&mut mark, &burst).len(), 1_000);
        assert_eq!(pass(&mut mark, &burst).len(), 0);
        burst.push(("new", 101_000));
        assert!(pass(&mut mark, &burst).contains(&"new"));
        assert_eq!(pass(&mut mark, &burst).len(), 0);
        let text = serde_json::to_string(&mark).unwrap();
        assert!(text.len() < 800, "{} bytes for one mark", text.len());
    }

    #[test]
    fn a_time_of_the_future_hides_nothing_and_one_that_is_none_is_news_each_time() {
        let mut mark = Of10::new(NOW - 50_000);
        assert_eq!(pass(&mut mark, &[("from 2199", NOW * 2)]), ["from 2199"]);
        assert_eq!(mark.at(), NOW);
        for _ in 0..2 {
            let items: Items<_> = vec![("odd", 0)].into();
            assert_eq!(mark.pass(NOW, items.clone(), |_| None), items);
        }
    }

    #[test]
    fn a_full_page_that_is_all_news_is_a_gap_and_one_that_reaches_back_is_none() {
        let position = crate::Position { scope: "s".into(), ..crate::Position::default() };
        let mut mark = Of10::new(100_000);
        let mut pass = |page: &[(&'static str, u64)]| {
            let (mut poll, _) = Poll::begin::<u8>(&position);
            poll.note_time(NOW / 1000);
            let page: Items<_> = page.to_vec().into();
            let news = mark.pass_newest(&mut poll, page, 2, |item| Seen::of(item, Some(item.1)));
            (news.len(), !poll.changes.0.is_empty())
        };
        assert_eq!(pass(&[("a", 101_000)]), (1, false), "no more are there");
        assert_eq!(pass(&[("b", 102_000), ("a", 101_000)]), (1, false), "one was there already");
        assert_eq!(pass(&[("d", 104_000), ("c", 103_000)]), (2, true));
        assert_eq!(pass(&[("d", 104_000), ("c", 103_000)]), (0, false), "said once");
    }
}
