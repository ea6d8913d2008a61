//! Requests that are under way while the guest works.

use super::limits;
use crate::provider::{Failure, Request, Response, Upstream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

/// Those that one call has begun and not asked for yet. They end with it.
#[derive(Debug)]
pub(super) struct Begun {
    requests: Vec<(Request, Started)>,
    turns: Arc<Semaphore>,
    /// Bytes of answers that nobody has taken.
    held: Arc<AtomicUsize>,
}

impl Default for Begun {
    fn default() -> Self {
        let turns = Arc::new(Semaphore::new(limits::BEGUN_MAX));
        Begun { requests: Vec::new(), turns, held: Arc::default() }
    }
}

/// Nothing where there was no room for its answer, so that it was not made.
type Answer = Option<Result<Response, Failure>>;

#[derive(Debug)]
pub(super) struct Started {
    task: JoinHandle<Answer>,
    held: Arc<AtomicUsize>,
}

impl Begun {
    /// Starts these, of whose answers `room` bytes are held at a time and those of the requests under way.
    pub(super) fn start(
        &mut self,
        requests: impl Iterator<Item = Request>,
        upstream: &Arc<dyn Upstream>,
        room: usize,
    ) {
        for request in requests {
            let (upstream, wanted) = (upstream.clone(), request.clone());
            let (turns, held) = (self.turns.clone(), self.held.clone());
            let task = tokio::spawn(async move {
                let _turn = turns.acquire().await.ok()?;
                if held.load(Relaxed) > room / 2 {
                    return None;
                }
                let answer = upstream.fetch(wanted).await;
                held.fetch_add(bytes(&answer), Relaxed);
                Some(answer)
            });
            self.requests.push((request, Started { task, held: self.held.clone() }));
        }
    }

    /// The one that is equal to this.
    pub(super) fn take(&mut self, request: &Request) -> Option<Started> {
        let at = self.requests.iter().position(|(begun, _)| begun == request)?;
        Some(self.requests.swap_remove(at).1)
    }
}

impl Started {
    pub(super) async fn answer(mut self) -> Answer {
        // Only who drops it ends it, and a panic is one of ours: then it is asked for again.
        let answer = (&mut self.task).await.ok()??;
        self.held.fetch_sub(bytes(&answer), Relaxed);
        Some(answer)
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn bytes(answer: &Result<Response, Failure>) -> usize {
    answer.as_ref().map_or(0, |response| response.body.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::{Followed, Method, Piece, Wanted};
    use bytes::Bytes;
    use futures_util::future::BoxFuture;
    use std::future::pending;

    /// Answers `/N` with N bytes, and `/never` never.
    #[derive(Debug, Default)]
    struct Service {
        made: AtomicUsize,
        /// Of those that are under way.
        dropped: Arc<AtomicUsize>,
    }

    struct UnderWay(Arc<AtomicUsize>);

    impl Drop for UnderWay {
        fn drop(&mut self) {
            self.0.fetch_add(1, Relaxed);
        }
    }

    impl Upstream for Service {
        fn fetch(&self, request: Request) -> BoxFuture<'_, Result<Response, Failure>> {
            self.made.fetch_add(1, Relaxed);
            let under_way = UnderWay(self.dropped.clone());
            Box::pin(async move {
                let _under_way = under_way;
                match request.path[1..].parse() {
                    Ok(length) => {
                        let body = Bytes::from(vec![0; length]);
                        Ok(Response { status: 200, headers: Vec::new(), body })
                    }
                    Err(_) => pending().await,
                }
            })
        }

        fn part<'a>(&'a self, _: Wanted<'a>) -> BoxFuture<'a, Result<Piece, Failure>> {
            Box::pin(pending())
        }

        fn follow<'a>(&'a self, _: &'a Request) -> BoxFuture<'a, Result<Followed, Failure>> {
            Box::pin(pending())
        }
    }

    fn get(path: &str) -> Request {
        Request {
            endpoint: "api".into(),
            method: Method::Get,
            path: path.into(),
            headers: Vec::new(),
            body: None,
        }
    }

    /// What was begun, once each has been answered or left out.
    async fn begun(service: &Arc<Service>, paths: &[&str], room: usize) -> Begun {
        let upstream: Arc<dyn Upstream> = service.clone();
        let mut begun = Begun::default();
        begun.start(paths.iter().map(|path| get(path)), &upstream, room);
        while begun
            .requests
            .iter()
            .any(|(request, started)| request.path != "/never" && !started.task.is_finished())
        {
            tokio::task::yield_now().await;
        }
        begun
    }

    #[tokio::test]
    async fn each_answer_is_taken_once_by_an_equal_request() {
        let service = Arc::new(Service::default());
        let mut begun = begun(&service, &["/1", "/2", "/2"], 1_000).await;
        assert_eq!(service.made.load(Relaxed), 3);
        assert!(begun.take(&get("/3")).is_none());
        for _ in 0..2 {
            let answer = begun.take(&get("/2")).expect("begun").answer().await;
            assert_eq!(answer.expect("made").expect("answered").body.len(), 2);
        }
        assert!(begun.take(&get("/2")).is_none());
        assert_eq!(begun.held.load(Relaxed), 1, "what nobody has taken");
    }

    #[tokio::test]
    async fn what_has_no_room_is_not_made() {
        let service = Arc::new(Service::default());
        let many: Vec<&str> = ["/100"].repeat(10 * limits::BEGUN_MAX);
        let mut begun = begun(&service, &many, 1_000).await;
        let made = service.made.load(Relaxed);
        assert!((6..=6 + limits::BEGUN_MAX).contains(&made), "{made}");
        let mut left_out = 0;
        while let Some(started) = begun.take(&get("/100")) {
            left_out += usize::from(started.answer().await.is_none());
        }
        assert_eq!(left_out, many.len() - made);
        assert_eq!(begun.held.load(Relaxed), 0);
    }

    #[tokio::test]
    async fn what_is_under_way_ends_with_the_call() {
        let service = Arc::new(Service::default());
        let begun = begun(&service, &["/never", "/1"], 1_000).await;
        while service.made.load(Relaxed) < 2 {
            tokio::task::yield_now().await;
        }
        drop(begun);
        while service.dropped.load(Relaxed) < 2 {
            tokio::task::yield_now().await;
        }
    }
}
