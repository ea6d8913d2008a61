//! Requests that leave through the user's proxy.

use super::tls::{here, server};
use super::*;
use omnifs::capability::{Egress, Resolver};
use omnifs::credentials::Environment;
use std::sync::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// An HTTP proxy that speaks CONNECT and leads every name to this machine.
struct Proxy {
    url: String,
    heads: Arc<Mutex<Vec<String>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Proxy {
    async fn start(refuses: bool) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let heads = Arc::new(Mutex::new(Vec::new()));
        let seen = heads.clone();
        let task = tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                tokio::spawn(serve(client, seen.clone(), refuses));
            }
        });
        Proxy { url, heads, task }
    }

    fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

async fn serve(mut client: TcpStream, seen: Arc<Mutex<Vec<String>>>, refuses: bool) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let Ok(byte) = client.read_u8().await else { return };
        head.push(byte);
    }
    let head = String::from_utf8(head).unwrap();
    let port = head.split([' ', ':']).nth(2).unwrap().to_owned();
    seen.lock().unwrap().push(head);
    if refuses {
        let _ = client.write_all(b"HTTP/1.1 403 Forbidden\r\n\r\n").await;
        return;
    }
    let mut service = TcpStream::connect(format!("127.0.0.1:{port}")).await.unwrap();
    client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
    let _ = tokio::io::copy_bidirectional(&mut client, &mut service).await;
}

/// Nobody but the proxy knows this name.
fn nowhere() -> Resolver {
    Arc::new(|_| Box::pin(async { Err(std::io::Error::other("no such host here")) }))
}

#[tokio::test]
async fn a_configured_proxy_looks_the_name_up_and_sees_neither_path_nor_credential() {
    let (server, proxy) = (server("/").await, Proxy::start(false).await);
    let mut setup = setup(&format!("https://name.example.test:{}", server.port));
    setup.overrides.get_mut("api").unwrap().ca_file = Some(server.authority.path().to_owned());
    setup.resolver = nowhere();
    setup.egress = Egress::Proxy { url: proxy.url.clone(), except: Vec::new() };
    let outbound = Outbound::new(setup).unwrap();
    assert_eq!(&fetch(&outbound, get("/things/0")).await.unwrap().body[..], b"/things/0 true");
    let heads = proxy.heads();
    assert_eq!(heads.len(), 1);
    assert!(heads[0].starts_with("CONNECT name.example.test:"), "{heads:?}");
    let lower = heads[0].to_ascii_lowercase();
    assert!(!lower.contains("things") && !lower.contains("authorization"), "{heads:?}");
}

#[tokio::test]
async fn the_environments_proxy_is_used_where_it_is_asked_for_and_not_for_the_hosts_in_its_list() {
    let (server, proxy) = (server("/").await, Proxy::start(false).await);
    for (egress, except, through) in [
        (Egress::Environment, "other.test", true),
        (Egress::Environment, "example.test", false),
        (Egress::Direct, "", false),
    ] {
        let before = proxy.heads().len();
        let mut setup = setup(&format!("https://name.example.test:{}", server.port));
        setup.overrides.get_mut("api").unwrap().ca_file = Some(server.authority.path().to_owned());
        setup.resolver = here();
        let url = proxy.url.clone();
        setup.environment = Environment::from_fn(move |name| match name {
            "HTTPS_PROXY" => Some(url.clone()),
            "NO_PROXY" => Some(except.to_owned()),
            _ => None,
        });
        setup.egress = egress.clone();
        let outbound = Outbound::new(setup).unwrap();
        fetch(&outbound, get("/things/0")).await.unwrap();
        assert_eq!(proxy.heads().len() > before, through, "{egress:?} but for {except:?}");
    }
}

#[tokio::test]
async fn a_proxy_that_refuses_or_is_away_is_named_and_nothing_goes_past_it() {
    let (server, proxy) = (server("/").await, Proxy::start(true).await);
    let away = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    for url in [proxy.url.clone(), format!("http://{away}")] {
        let mut setup = setup(&format!("https://name.example.test:{}", server.port));
        setup.overrides.get_mut("api").unwrap().ca_file = Some(server.authority.path().to_owned());
        setup.resolver = here();
        setup.egress = Egress::Proxy { url: url.clone(), except: Vec::new() };
        let (cause, detail) = fails(&Outbound::new(setup).unwrap(), get("/things/1")).await;
        assert_eq!(cause, Cause::Unavailable, "{detail}");
        assert!(detail.contains(&format!("through the proxy {url}")), "{detail}");
    }
    assert_eq!(server.connections.load(std::sync::atomic::Ordering::SeqCst), 0);
}

/// A name leads where the proxy says; an address in a URL, and this machine, are judged here as ever.
#[tokio::test]
async fn addresses_of_this_machine_are_no_way_around_the_check_by_a_proxy() {
    let proxy = Proxy::start(false).await;
    let server = server("https://127.0.0.1:1/").await;
    let mut setup = setup(&format!("https://name.example.test:{}", server.port));
    setup.overrides.get_mut("api").unwrap().ca_file = Some(server.authority.path().to_owned());
    setup.resolver = here();
    setup.egress = Egress::Proxy { url: proxy.url.clone(), except: Vec::new() };
    let (_, detail) = fails(&Outbound::new(setup).unwrap(), get("/things/away")).await;
    assert!(detail.contains("127.0.0.1"), "{detail}");
    assert_eq!(proxy.heads().len(), 1, "{:?}", proxy.heads());
}
