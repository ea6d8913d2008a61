//! Accepts connections of whoever reaches a port: a bounded number, each for a bounded time.

mod places;

pub(crate) use places::Place;

use axum::extract::connect_info::Connected;
use axum::extract::{ConnectInfo, Request};
use axum::middleware::Next;
use axum::response::Response;
use axum::serve::IncomingStream;
use futures_util::future::BoxFuture;
use places::Places;
use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::OwnedSemaphorePermit;

/// Accepts so many connections at once and cuts each after its time, so that clients that send
/// nothing or read nothing cannot use the process's file descriptors up. A further one takes the place of
/// the oldest whose request is not whole.
pub(crate) struct Bounded<L> {
    listener: L,
    places: Places,
    time: Duration,
    lost: Arc<dyn Fn() + Send + Sync>,
}

impl<L> Bounded<L> {
    pub fn new(listener: L, connections: usize, time: Duration) -> Bounded<L> {
        Bounded { listener, places: Places::new(connections), time, lost: Arc::new(|| {}) }
    }

    /// Called for each connection that ends while a request's head is still coming: nobody else will know
    /// that there was one.
    pub fn on_lost(self, lost: impl Fn() + Send + Sync + 'static) -> Bounded<L> {
        Bounded { lost: Arc::new(lost), ..self }
    }
}

impl<L> fmt::Debug for Bounded<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Bounded")
    }
}

impl<L: axum::serve::Listener> axum::serve::Listener for Bounded<L> {
    type Io = Connection<L::Io>;
    type Addr = L::Addr;

    async fn accept(&mut self) -> (Connection<L::Io>, L::Addr) {
        let (stream, address) = self.listener.accept().await;
        let (place, room) = self.places.take().await;
        let (of, time) = (place.clone(), self.time);
        let end = async move {
            let _ = tokio::time::timeout(time, of.ended()).await;
        };
        let lost = self.lost.clone();
        (Connection { stream, place, lost, end: Some(Box::pin(end)), _room: room }, address)
    }

    fn local_addr(&self) -> io::Result<L::Addr> {
        self.listener.local_addr()
    }
}

/// The place of the connection on which a request came.
#[derive(Clone)]
pub(crate) struct Of(pub Arc<Place>);

impl<L: axum::serve::Listener> Connected<IncomingStream<'_, Bounded<L>>> for Of {
    fn connect_info(stream: IncomingStream<'_, Bounded<L>>) -> Self {
        Of(stream.io().place.clone())
    }
}

/// Lets nobody take the place of a request whose head has come until it is answered. For servers whose
/// requests say all in their heads.
pub(crate) async fn hold(
    ConnectInfo(Of(place)): ConnectInfo<Of>,
    rq: Request,
    next: Next,
) -> Response {
    place.note_whole();
    let response = next.run(rq).await;
    place.note_answer();
    response
}

/// A connection whose reads and writes fail once its time is over, or its place is another's.
pub(crate) struct Connection<S> {
    stream: S,
    place: Arc<Place>,
    lost: Arc<dyn Fn() + Send + Sync>,
    /// Absent: it was ended.
    end: Option<BoxFuture<'static, ()>>,
    _room: Option<OwnedSemaphorePermit>,
}

impl<S> Connection<S> {
    fn check(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        if let Some(end) = &mut self.end {
            if end.as_mut().poll(context).is_pending() {
                return Ok(());
            }
            self.end = None;
            if self.place.end() {
                (self.lost)();
            }
        }
        Err(io::ErrorKind::TimedOut.into())
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Connection<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check(context)?;
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        if read.is_ready() && !buffer.filled().is_empty() {
            self.place.note_bytes();
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Connection<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.check(context)?;
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
