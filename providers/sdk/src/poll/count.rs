//! How many there are: what was deleted, or moved elsewhere, shows in nothing else.

use super::Poll;
use crate::Result;
use crate::http::{Request, Response};
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
pub struct Last(Option<(u64, u64)>);

impl Last {
    /// The page to ask for, of one item each and the oldest first. `None` where nothing was counted yet:
    /// then the newest item is asked for, with a link to the last page.
    pub fn page(self) -> Option<u64> {
        self.0.map(|(count, _)| count.max(1))
    }

    /// An item came. A later one has a higher `id`.
    pub fn came(&mut self, id: u64) {
        if let Some((count, last)) = &mut self.0 {
            (*count, *last) = (count.saturating_add(1), id.max(*last));
        }
    }

    /// Moves on. `answer` is what was answered for the page of `asked`; where another item stands there
    /// it is a gap, and all are counted again by the answer to `newest`. Answers the newest id where they
    /// were counted. `id` is that of an answer's first item, 0 where it has none.
    pub fn check(
        &mut self,
        poll: &mut Poll,
        (asked, mut answer): (Last, Response),
        id: impl Fn(&Response) -> Result<u64>,
        newest: Request,
    ) -> Result<Option<u64>> {
        if let Some((_, last)) = asked.0 {
            if id(&answer)? == last {
                return Ok(None);
            }
            poll.gap();
            answer = poll.note(newest.ok()?);
        }
        let last = id(&answer)?;
        self.0 = Some((answer.last_page().unwrap_or(u64::from(last > 0)), last));
        Ok(Some(last))
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
        last.came(3);
        assert_eq!(last.page(), None, "nothing was counted");
        last = Last(Some((0, 0)));
        assert_eq!(last.page(), Some(1), "an empty listing");
        last.came(3);
        last.came(9);
        last.came(4);
        assert_eq!((last.page(), last), (Some(3), Last(Some((3, 9)))));
    }
}
