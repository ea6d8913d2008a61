//! Accepts connections: a bounded number, each for a bounded time.

use super::{Queue, Shared, path, request};
use axum::Router;
use axum::routing::any;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Sleep;

/// At the same time; further ones wait in the kernel's queue.
const CONNECTIONS: usize = 64;

pub(super) async fn serve(socket: TcpListener, shared: Arc<Shared>, queues: Vec<Arc<Queue>>) {
    let lifetime = shared.options.request;
    let mut router = Router::new();
    for queue in queues {
        let shared = shared.clone();
        let path = path(&queue.subscriber.instance);
        router = router.route(
            &path,
            any(move |incoming| request::receive(shared.clone(), queue.clone(), incoming)),
        );
    }
    let listener = Bounded { socket, room: Arc::new(Semaphore::new(CONNECTIONS)), lifetime };
    // It ends only with its task.
    let _ = axum::serve(listener, router).await;
}

struct Bounded {
    socket: TcpListener,
    room: Arc<Semaphore>,
    lifetime: Duration,
}

impl axum::serve::Listener for Bounded {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        let room = self.room.clone().acquire_owned().await.ok();
        let (stream, address) = axum::serve::Listener::accept(&mut self.socket).await;
        let connection = Connection {
            stream,
            // Each connection carries one request, so its life is the request's deadline.
            end: Box::pin(tokio::time::sleep(self.lifetime)),
            _room: room,
        };
        (connection, address)
    }

    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.socket.local_addr()
    }
}

/// A connection whose reads and writes fail once its time is over.
struct Connection {
    stream: TcpStream,
    end: Pin<Box<Sleep>>,
    _room: Option<OwnedSemaphorePermit>,
}

impl Connection {
    fn over<T>(&mut self, cx: &mut Context<'_>) -> Poll<std::io::Result<T>> {
        self.end.as_mut().poll(cx).map(|()| Err(std::io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        match Pin::new(&mut self.stream).poll_read(cx, buffer) {
            Poll::Pending => self.over(cx),
            ready => ready,
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        match Pin::new(&mut self.stream).poll_write(cx, bytes) {
            Poll::Pending => self.over(cx),
            ready => ready,
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
