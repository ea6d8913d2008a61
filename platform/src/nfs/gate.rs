//! Which users' programs may connect.
//!
//! Every local user can connect to a port on 127.0.0.1, and a call's uid is what its sender says. Linux
//! knows who made the socket at the other end: both ends of a loopback connection are sockets of one
//! network namespace, and /proc/self/net/tcp lists them with their owners. The sockets of the kernel's
//! own NFS client are root's there. Other systems are not asked, and everybody may connect.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

#[derive(Debug)]
pub(super) struct Gate {
    /// Whose sockets are served; `None`: everybody's.
    users: Option<Vec<u32>>,
    /// One look at the table at a time, however many connect.
    turn: Arc<Semaphore>,
    refused: AtomicU64,
}

impl Gate {
    /// `users` and root, where the system can tell.
    pub fn of(users: Vec<u32>) -> Gate {
        Gate { users: cfg!(target_os = "linux").then_some(users), ..Gate::open() }
    }

    pub fn open() -> Gate {
        Gate { users: None, turn: Arc::new(Semaphore::new(1)), refused: AtomicU64::new(0) }
    }

    /// Connections that were refused.
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Whether what this connection sends is to be read at all. The owner of a socket never changes,
    /// so it is asked for once.
    pub async fn admits(&self, stream: &TcpStream) -> bool {
        let Some(users) = &self.users else { return true };
        let (Ok(here), Ok(there)) = (stream.local_addr(), stream.peer_addr()) else {
            return false;
        };
        let look = async {
            // Never closed.
            let _turn = self.turn.clone().acquire_owned().await.ok()?;
            tokio::task::spawn_blocking(move || owner(there, here)).await.ok()?
        };
        let owner = look.await;
        let admitted = owner.is_some_and(|uid| uid == 0 || users.contains(&uid));
        if !admitted {
            let count = self.refused.fetch_add(1, Ordering::Relaxed) + 1;
            // One line for each doubling: a flood of connections is no flood of lines.
            if count.is_power_of_two() {
                tracing::warn!(
                    count,
                    uid = owner,
                    "NFS connections of another user, or already closed ones, were refused; where \
                     that user may read the mount, use --allow-other"
                );
            }
        }
        admitted
    }
}

/// The user of the socket at `local`, connected to `remote`; `None` where there is none, or it is being
/// closed: the table then calls it root's.
#[cfg(target_os = "linux")]
fn owner(local: SocketAddr, remote: SocketAddr) -> Option<u32> {
    // A table that changes while it is read may miss a row.
    const LOOKS: usize = 3;
    let (SocketAddr::V4(local), SocketAddr::V4(remote)) = (local, remote) else { return None };
    let tables = ["/proc/self/net/tcp", "/proc/self/net/tcp6"];
    let look = |path| {
        // There is no second table where IPv6 is switched off.
        let table = std::fs::read_to_string(path).unwrap_or_default();
        table::owner(&table, local, remote)
    };
    (0..LOOKS).find_map(|_| tables.into_iter().find_map(look))
}

#[cfg(not(target_os = "linux"))]
fn owner(_: SocketAddr, _: SocketAddr) -> Option<u32> {
    None
}

/// The format of /proc/net/tcp and tcp6 (proc_pid_net(5)).
#[cfg(target_os = "linux")]
mod table {
    use std::net::SocketAddrV4;

    const ESTABLISHED: &str = "01";

    pub fn owner(table: &str, local: SocketAddrV4, remote: SocketAddrV4) -> Option<u32> {
        let [four, six] = [plain, mapped]
            .map(|address| format!(" {} {} {ESTABLISHED} ", address(local), address(remote)));
        let row = |line: &str| {
            let (_, rest) = line.split_once(&four).or_else(|| line.split_once(&six))?;
            // Behind the state: queues, timer, retransmissions, uid.
            rest.split_whitespace().nth(3)?.parse().ok()
        };
        table.lines().find_map(row)
    }

    /// An address is shown as the number that its bytes are in memory.
    fn plain(at: SocketAddrV4) -> String {
        format!("{:08X}:{:04X}", u32::from_ne_bytes(at.ip().octets()), at.port())
    }

    /// As a socket for IPv6 has it.
    fn mapped(at: SocketAddrV4) -> String {
        let prefix = u32::from_ne_bytes([0, 0, 0xff, 0xff]);
        format!("{:016X}{prefix:08X}{}", 0, plain(at))
    }

    #[cfg(test)]
    mod tests {
        use super::*;
        use std::net::Ipv4Addr;

        #[test]
        fn the_row_of_both_addresses_says_whose_an_established_socket_is() {
            let at = |port| SocketAddrV4::new(Ipv4Addr::LOCALHOST, port);
            let (client, server) = (at(0xc350), at(0x0801));
            let rest = "00000000:00000000 00:00000000 00000000  1000        0 1050 1 00 20 4 30 10";
            let row = |from: String, to: String, state: &str| {
                format!("  sl  local_address rem_address   st\n   0: {from} {to} {state} {rest}\n")
            };
            for address in [plain, mapped] {
                let table = row(address(client), address(server), ESTABLISHED);
                assert_eq!(owner(&table, client, server), Some(1000));
                // The other end of the same connection is another row.
                assert_eq!(owner(&table, server, client), None);
                assert_eq!(owner(&table, at(0xc351), server), None);
                // FIN_WAIT2, TIME_WAIT: nobody holds it any more, and the row says 0.
                for state in ["05", "06"] {
                    let table = row(address(client), address(server), state);
                    assert_eq!(owner(&table, client, server), None, "{state}");
                }
            }
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn the_owner_of_a_live_connection_is_found_and_that_of_a_closed_one_is_not() {
        let own = rustix::process::geteuid().as_raw();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = listener.local_addr().unwrap();
        let client = TcpStream::connect(server).unwrap();
        let (_accepted, at) = listener.accept().unwrap();
        assert_eq!(owner(at, server), Some(own));
        drop(client);
        assert_eq!(owner(at, server), None);
        // A socket for IPv6 that speaks IPv4.
        let mapped = format!("[::ffff:127.0.0.1]:{}", server.port());
        if let Ok(client) = TcpStream::connect(mapped) {
            let (_accepted, at) = listener.accept().unwrap();
            assert_eq!(owner(at, server), Some(own));
            drop(client);
        }
    }
}
