//! The connections that may be open at a time, and which of them ends where one more comes.
//!
//! A sender that gives a byte a second would hold its place for as long as a request may take, and 64
//! of them all places. So a new connection takes the place of the oldest one whose request has not
//! come whole. What is whole is worked off, whoever waits.

use parking_lot::Mutex;
use std::sync::{Arc, Weak};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

/// What has come of a connection's request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Nothing,
    /// A part of the head, so that it is not known whose request it is.
    Head,
    /// The head, and of the body what has come so far.
    Body,
    /// Everything, and it is not answered yet.
    Whole,
    Answered,
}

/// One connection's place.
#[derive(Debug)]
pub(crate) struct Place {
    stage: Mutex<Stage>,
    ended: watch::Sender<bool>,
}

impl Place {
    fn new() -> Place {
        Place { stage: Mutex::new(Stage::Nothing), ended: watch::Sender::new(false) }
    }

    /// Bytes have come.
    pub(crate) fn note_bytes(&self) {
        let mut stage = self.stage.lock();
        if *stage == Stage::Nothing {
            *stage = Stage::Head;
        }
    }

    pub(crate) fn note_head(&self) {
        *self.stage.lock() = Stage::Body;
    }

    pub(crate) fn note_whole(&self) {
        *self.stage.lock() = Stage::Whole;
    }

    pub(crate) fn note_answer(&self) {
        *self.stage.lock() = Stage::Answered;
    }

    /// Ends the connection. Whether nobody but the caller knows that a request is lost with it: its
    /// head was still coming.
    pub(crate) fn end(&self) -> bool {
        self.ended.send_replace(true);
        let mut stage = self.stage.lock();
        let lost = *stage == Stage::Head;
        if lost {
            *stage = Stage::Answered;
        }
        lost
    }

    pub(crate) fn is_ended(&self) -> bool {
        *self.ended.borrow()
    }

    pub(crate) async fn ended(&self) {
        // The sender is of this place.
        let _ = self.ended.subscribe().wait_for(|ended| *ended).await;
    }

    fn may_end(&self) -> bool {
        *self.stage.lock() != Stage::Whole && !self.is_ended()
    }
}

#[derive(Debug)]
pub(crate) struct Places {
    room: Arc<Semaphore>,
    /// Oldest first.
    taken: Vec<Weak<Place>>,
}

impl Places {
    pub(crate) fn new(number: usize) -> Places {
        Places { room: Arc::new(Semaphore::new(number)), taken: Vec::new() }
    }

    /// A place, held as long as its permit is.
    pub(crate) async fn take(&mut self) -> (Arc<Place>, Option<OwnedSemaphorePermit>) {
        self.taken.retain(|place| place.strong_count() > 0);
        let permit = match self.room.clone().try_acquire_owned() {
            Ok(permit) => Some(permit),
            Err(_) => {
                let mut taken = self.taken.iter().filter_map(Weak::upgrade);
                if let Some(oldest) = taken.find(|place| place.may_end()) {
                    oldest.ended.send_replace(true);
                }
                // It is never closed.
                self.room.clone().acquire_owned().await.ok()
            }
        };
        let place = Arc::new(Place::new());
        self.taken.push(Arc::downgrade(&place));
        (place, permit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_new_connection_ends_the_oldest_whose_request_is_not_whole() {
        let mut places = Places::new(3);
        let (whole, _first) = places.take().await;
        whole.note_whole();
        let (slow, second) = places.take().await;
        slow.note_head();
        let (newest, _third) = places.take().await;
        let ending = async {
            slow.ended().await;
            drop(second);
        };
        let ((fourth, permit), ()) = tokio::join!(places.take(), ending);
        assert!(permit.is_some());
        assert_eq!(
            [&whole, &slow, &newest, &fourth].map(|place| place.is_ended()),
            [false, true, false, false]
        );
    }

    #[test]
    fn a_request_is_lost_with_its_connection_once_and_only_where_its_head_was_coming() {
        let place = Place::new();
        assert!(!place.end());
        place.note_bytes();
        assert!(place.end());
        assert!(!place.end());
        for note in [Place::note_head, Place::note_whole, Place::note_answer] {
            let place = Place::new();
            place.note_bytes();
            note(&place);
            assert!(!place.end());
        }
    }
}
