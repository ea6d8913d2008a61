//! The encrypted path: certificates, HTTP/2, one connection for many requests.

use super::*;
use bytes::Bytes;
use omnifs::capability::Resolver;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

pub(super) struct TlsServer {
    pub port: u16,
    pub connections: Arc<AtomicUsize>,
    pub authority: tempfile::NamedTempFile,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for TlsServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Speaks HTTP/2 as `name.example.test`; answers each request with its path and credential's
/// presence, or redirects `/things/away`.
pub(super) async fn server(location: &'static str) -> TlsServer {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let made = rcgen::generate_simple_self_signed(vec!["name.example.test".to_owned()]).unwrap();
    let mut authority = tempfile::NamedTempFile::new().unwrap();
    std::io::Write::write_all(&mut authority, made.cert.pem().as_bytes()).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let mut config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let connections = Arc::new(AtomicUsize::new(0));
    let count = connections.clone();
    let task = tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let (acceptor, count) = (acceptor.clone(), count.clone());
            tokio::spawn(async move {
                let Ok(stream) = acceptor.accept(stream).await else { return };
                count.fetch_add(1, Ordering::SeqCst);
                let Ok(mut connection) = h2::server::handshake(stream).await else { return };
                while let Some(Ok((request, mut respond))) = connection.accept().await {
                    let signed = request.headers().contains_key("authorization");
                    let mut response = http::Response::builder();
                    if request.uri().path() == "/things/away" {
                        response = response.status(302).header("location", location);
                    }
                    let body = format!("{} {signed}", request.uri().path());
                    let mut stream =
                        respond.send_response(response.body(()).unwrap(), false).unwrap();
                    stream.send_data(Bytes::from(body), true).unwrap();
                }
            });
        }
    });
    TlsServer { port, connections, authority, task }
}

pub(super) fn here() -> Resolver {
    Arc::new(|_| Box::pin(async { Ok(vec!["127.0.0.1".parse().unwrap()]) }))
}

#[tokio::test]
async fn many_requests_share_one_http2_connection() {
    let server = server("/").await;
    let mut setup = setup(&format!("https://name.example.test:{}", server.port));
    setup.overrides.get_mut("api").unwrap().ca_file = Some(server.authority.path().to_owned());
    setup.resolver = here();
    let outbound = Outbound::new(setup).unwrap();
    assert_eq!(&fetch(&outbound, get("/things/0")).await.unwrap().body[..], b"/things/0 true");
    let paths: Vec<_> = (0..40).map(|number| format!("/things/{number}")).collect();
    let all = paths.iter().map(|path| fetch(&outbound, get(path)));
    for (answer, path) in futures_util::future::join_all(all).await.into_iter().zip(&paths) {
        assert_eq!(answer.unwrap().body, format!("{path} true"));
    }
    assert_eq!(server.connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_or_of_another_name_is_refused() {
    let server = server("/").await;
    let url = |name: &str| format!("https://{name}:{}", server.port);
    let mut unknown = setup(&url("name.example.test"));
    unknown.resolver = here();
    // Some certificate authority must be known for the client to start at all.
    let other = rcgen::generate_simple_self_signed(vec!["other.test".to_owned()]).unwrap();
    let mut file = tempfile::NamedTempFile::new().unwrap();
    std::io::Write::write_all(&mut file, other.cert.pem().as_bytes()).unwrap();
    unknown.overrides.get_mut("api").unwrap().ca_file = Some(file.path().to_owned());
    let (cause, detail) = fails(&Outbound::new(unknown).unwrap(), get("/things/1")).await;
    assert_eq!(cause, Cause::Unavailable);
    assert!(detail.contains("no trusted connection to https://name.example.test"), "{detail}");
    assert!(detail.contains("ca-file"), "{detail}");

    let mut misnamed = setup(&url("wrong.example.test"));
    misnamed.resolver = here();
    misnamed.overrides.get_mut("api").unwrap().ca_file = Some(server.authority.path().to_owned());
    let (cause, detail) = fails(&Outbound::new(misnamed).unwrap(), get("/things/1")).await;
    assert_eq!(cause, Cause::Unavailable);
    assert!(detail.contains("no trusted connection"), "{detail}");
    assert_eq!(server.connections.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_declared_redirect_host_that_leads_into_the_local_network_is_refused() {
    let server = server("https://logs.example.test/job").await;
    let mut setup = setup(&format!("https://name.example.test:{}", server.port));
    setup.overrides.get_mut("api").unwrap().ca_file = Some(server.authority.path().to_owned());
    setup.resolver = here();
    // The endpoint itself is configured and may be local; the manifest's redirect host may not.
    let (cause, detail) = fails(&Outbound::new(setup).unwrap(), get("/things/away")).await;
    assert_eq!(cause, Cause::Denied);
    assert!(detail.starts_with("logs.example.test leads to the loopback address"), "{detail}");
}

#[tokio::test]
async fn an_encrypted_endpoint_does_not_redirect_to_plain_http() {
    let server = server("http://name.example.test/").await;
    let mut setup = setup(&format!("https://name.example.test:{}", server.port));
    setup.overrides.get_mut("api").unwrap().ca_file = Some(server.authority.path().to_owned());
    setup.resolver = here();
    let (cause, detail) = fails(&Outbound::new(setup).unwrap(), get("/things/away")).await;
    assert_eq!(cause, Cause::Denied, "{detail}");
}

#[tokio::test]
async fn an_unreadable_ca_file_is_named() {
    let mut setup = setup("https://name.example.test");
    setup.overrides.get_mut("api").unwrap().ca_file = Some("/nowhere/ca.pem".into());
    let (cause, detail) = fails(&Outbound::new(setup).unwrap(), get("/things/1")).await;
    assert_eq!(cause, Cause::Unavailable);
    assert!(detail.starts_with("cannot read ca-file /nowhere/ca.pem"), "{detail}");
}
