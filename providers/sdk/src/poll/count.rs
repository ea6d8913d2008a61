//! How many there are: what was deleted, or moved elsewhere, shows in nothing else.

use super::Poll;
use crate::Result;
use crate::http::{Request, Response, if_any};
use serde::{Deserialize, Serialize};

/// A number that a service tells with its answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Total(Option<u64>);

impl Total {
    /// Moves on. Whether there are fewer than the last time together with those that `came` since;
    /// no where either number is not known.
    pub fn fell(&mut self, now: Option<u64>, came: usize) -> bool {
        let before = std::mem::replace(&mut self.0, now);
        before.zip(now).is_some_and(|(before, now)| now < before.saturating_add(came as u64))
    }
}

/// The last item of a listing by age, and how many there are up to it, for a service that numbers its
/// pages and says no total.
///
/// The item with as many older ones as there were before is asked for, which is a page of one item.
/// While it is the same one, none was deleted, and the service can answer by a 304. What came since
/// lies beyond.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Last {
    /// How many there are, and the id of the last one.
    counted: Option<(u64, u64)>,
    /// The highest id seen: a higher one came since, also where it was moved here and is old.
    newest: u64,
}

impl Last {
    /// The page to ask for, of one item each and the oldest first. `None` where nothing was counted yet:
    /// then the newest item is asked for, with a link to the last page.
    pub fn page(self) -> Option<u64> {
        self.counted.map(|(count, _)| count.max(1))
    }

    /// What there was before a first poll that found so many `changed`: those that came are among as
    /// many of the highest ids. `id` is that of the first item of the answer to the newest.
    pub fn before(
        changed: usize,
        newest: &Result<Response>,
        id: impl Fn(&Response) -> Result<u64>,
    ) -> Self {
        let newest = newest.as_ref().map_or(Ok(0), id).unwrap_or(0);
        Last { counted: None, newest: newest.saturating_sub(changed as u64) }
    }

    /// An item was seen; whether it came since `before`, as this was when the poll began. A later one
    /// has a higher `id`.
    pub fn saw(&mut self, id: u64, before: Last) -> bool {
        let came = id > before.newest;
        if let Some((count, last)) = self.counted.as_mut().filter(|_| came) {
            (*count, *last) = (count.saturating_add(1), id.max(*last));
        }
        self.newest = self.newest.max(id);
        came
    }

    /// Moves on. `answer` is what was answered for the page of `before`; where another item stands there
    /// it is a gap, and all are counted again by the answer to `newest`. Nothing is counted where the
    /// service has none of it. `id` is that of an answer's first item, 0 where it has none.
    pub fn check(
        &mut self,
        poll: &mut Poll,
        before: Last,
        answer: Result<Response>,
        id: impl Fn(&Response) -> Result<u64>,
        newest: Request,
    ) -> Result<()> {
        let Some(mut answer) = if_any(answer.and_then(Response::ok))? else { return Ok(()) };
        if let Some((_, last)) = before.counted {
            if id(&answer)? == last {
                return Ok(());
            }
            poll.gap();
            answer = poll.note(newest.ok()?);
        }
        let last = id(&answer)?;
        self.counted = Some((answer.last_page().unwrap_or(u64::from(last > 0)), last));
        self.newest = self.newest.max(last);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fewer_than_before_with_those_that_came_are_some_that_went() {
        let mut total = Total::default();
        assert!(!total.fell(Some(5), 2), "the first time");
        assert!(!total.fell(Some(7), 2));
        assert!(total.fell(Some(7), 1), "one was deleted, and one made");
        assert!(!total.fell(None, 0), "not known");
        assert!(!total.fell(Some(1), 0));
    }

    #[test]
    fn the_page_of_the_last_item_moves_with_those_that_come() {
        let mut last = Last::default();
        assert!(last.saw(3, last));
        assert_eq!(last.page(), None, "nothing was counted");
        last = Last { counted: Some((1, 3)), newest: 3 };
        let before = last;
        // In the order of their updates.
        assert_eq!([9, 2, 4].map(|id| last.saw(id, before)), [true, false, true]);
        assert_eq!((last.page(), last.counted, last.newest), (Some(3), Some((3, 9)), 9));
        let empty = Last { counted: Some((0, 0)), newest: 0 };
        assert_eq!(empty.page(), Some(1), "an empty listing");
    }

    #[test]
    fn what_came_before_the_first_poll_is_among_the_highest() {
        let id = |_: &Response| Ok(9);
        let newest = Ok(Response::with_headers(&[]));
        let before = Last::before(2, &newest, id);
        let mut last = Last::default();
        assert_eq!([9, 8, 7].map(|id| last.saw(id, before)), [true, true, false]);
        let unknown = Last::before(2, &Err(crate::Error::TimedOut), id);
        assert!(last.saw(1, unknown), "any may have come");
    }
}
