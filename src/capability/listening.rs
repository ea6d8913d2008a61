//! Whether somebody listens where an endpoint could be.

use super::place::{Base, Peer, Placed};
use std::io;
use std::time::Duration;
use tokio::net::TcpStream;

/// For a connection to a socket of this machine, or to a port that is forwarded.
const PATIENCE: Duration = Duration::from_secs(2);

/// Connects to an address as a user would write it into the configuration, and sends nothing.
///
/// # Errors
/// Why no endpoint can be there, in words for the user.
pub async fn listening(address: &str) -> Result<(), String> {
    let connected = match Base::parse(address, &Placed::Configuration)? {
        Base::Unix(path) => tokio::time::timeout(PATIENCE, unix(path)).await,
        // Opening one takes it from the next client.
        Base::Pipe(path) if cfg!(windows) && std::path::Path::new(&path).exists() => return Ok(()),
        Base::Pipe(_) => return Err("there is no such pipe".to_owned()),
        Base::Sqlite(Some(path)) if path.is_file() => return Ok(()),
        Base::Sqlite(_) => return Err("there is no such file".to_owned()),
        Base::Postgres(server) => match server.host {
            Peer::Sockets(folder) => {
                let socket = folder.join(format!(".s.PGSQL.{}", server.port));
                tokio::time::timeout(PATIENCE, unix(socket)).await
            }
            Peer::Tcp(host) => {
                let tcp = TcpStream::connect((host, server.port));
                tokio::time::timeout(PATIENCE, async { tcp.await.map(drop) }).await
            }
        },
        Base::Web(url) => {
            let port = url.port_or_known_default().unwrap_or_default();
            let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
            let tcp = async { TcpStream::connect((host, port)).await.map(drop) };
            tokio::time::timeout(PATIENCE, tcp).await
        }
    };
    match connected {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(match error.kind() {
            io::ErrorKind::NotFound => "there is no such socket".to_owned(),
            io::ErrorKind::ConnectionRefused => "nobody listens there".to_owned(),
            io::ErrorKind::PermissionDenied => "this user may not use it".to_owned(),
            _ => error.to_string(),
        }),
        Err(_) => Err(format!("no connection within {} s", PATIENCE.as_secs())),
    }
}

#[cfg(unix)]
async fn unix(path: std::path::PathBuf) -> io::Result<()> {
    tokio::net::UnixStream::connect(path).await.map(drop)
}

#[cfg(not(unix))]
async fn unix(_: std::path::PathBuf) -> io::Result<()> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "this system has no such sockets"))
}
