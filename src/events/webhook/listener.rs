//! The receiver's port: each instance has a path of it.

use super::{Queue, Shared, path, request};
use crate::listener::{Bounded, Of};
use axum::Router;
use axum::extract::{ConnectInfo, Request};
use axum::routing::any;
use std::sync::Arc;
use tokio::net::TcpListener;

/// At the same time.
const CONNECTIONS: usize = 64;

pub(super) async fn serve(socket: TcpListener, shared: Arc<Shared>, queues: Vec<Arc<Queue>>) {
    // Each connection carries one request, so its life is the request's deadline.
    let lifetime = shared.options.request;
    let mut router = Router::new();
    for queue in &queues {
        let (shared, queue) = (shared.clone(), queue.clone());
        let path = path(&queue.subscriber.instance);
        router = router.route(
            &path,
            any(move |ConnectInfo(Of(place)): ConnectInfo<Of>, incoming: Request| {
                request::receive(shared.clone(), queue.clone(), place, incoming)
            }),
        );
    }
    // For whom it was is not known.
    let lost = move || queues.iter().for_each(|queue| queue.turn_away());
    let listener = Bounded::new(socket, CONNECTIONS, lifetime).on_lost(lost);
    // It ends only with its task.
    let _ = axum::serve(listener, router.into_make_service_with_connect_info::<Of>()).await;
}
