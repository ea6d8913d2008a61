//! A private PostgreSQL server, of Debian's packages. It refuses to run as root, so it is run by a user that owns nothing.

use crate::server::Server;
use crate::tools::try_shell;
use crate::{program, wait_until};
use std::fs;
use std::io;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where Debian has the programs that are not for everybody's `PATH`.
const BINARIES: &str = "/usr/lib/postgresql/15/bin";
const NOBODY: u32 = 65_534;
/// Of the owner of everything.
const PASSWORD: &str = "owner-0123456789";
const START: Duration = Duration::from_secs(120);

/// A running server with a database `music`, and a role `reader` that may read what it is granted.
#[derive(Debug)]
pub struct Postgres {
    server: Server,
    folder: PathBuf,
}

impl Postgres {
    /// What the role `reader` logs in with.
    pub const READER: &str = "reader:reader-0123456789";

    /// What the owner of everything does.
    pub const OWNER: &str = "owner:owner-0123456789";

    /// Why it cannot run here.
    pub fn unavailable() -> Option<String> {
        let absent = |name: &str| format!("{name} is not installed");
        if !Path::new(BINARIES).join("initdb").is_file() {
            return Some(absent("postgresql-15"));
        }
        ["psql", "setpriv"].into_iter().find(|name| program(name).is_none()).map(absent)
    }

    /// Its files are in a folder that any user may enter.
    pub fn start(folder: &Path) -> io::Result<Postgres> {
        fs::create_dir_all(folder)?;
        let root = rustix::process::geteuid().is_root();
        if root {
            chown(folder, Some(NOBODY), Some(NOBODY))?;
        }
        let (data, password) = (folder.join("data"), folder.join("password"));
        fs::write(&password, PASSWORD)?;
        let user = NOBODY.to_string();
        let by = |program: &str| {
            let mut words: Vec<String> = Vec::new();
            if root {
                let own =
                    ["--pdeathsig", "TERM", "--reuid", &user, "--regid", &user, "--clear-groups"];
                words.extend(own.map(str::to_owned));
            } else {
                words.extend(["--pdeathsig", "TERM"].map(str::to_owned));
            }
            words.push(format!("{BINARIES}/{program}"));
            words
        };
        let made = try_shell(
            folder,
            &format!(
                "setpriv {} -D '{}' -U owner --auth=scram-sha-256 --pwfile='{}' --no-sync --encoding=UTF8 --locale=C",
                by("initdb").join(" "),
                data.display(),
                password.display()
            ),
        );
        if !made.status.success() {
            return Err(io::Error::other(String::from_utf8_lossy(&made.stderr).into_owned()));
        }
        let server = Server::start("setpriv", folder, |at| {
            let port = at.rsplit(':').next().unwrap_or_default();
            let mut words = by("postgres");
            words.extend(["-D".to_owned(), data.display().to_string()]);
            words.extend(["-h", "127.0.0.1", "-p", port, "-k", "", "-F"].map(str::to_owned));
            // Transactions of the server's own, which come at any time.
            words
                .extend(["-c", "autovacuum=off", "-c", "checkpoint_timeout=1d"].map(str::to_owned));
            words
        })?;
        let own = Postgres { server, folder: folder.to_owned() };
        own.await_answers()?;
        own.psql("postgres", "CREATE DATABASE music");
        let (role, password) = Postgres::READER.split_once(':').unwrap_or_default();
        own.psql("music", &format!("CREATE ROLE {role} LOGIN PASSWORD '{password}'"));
        Ok(own)
    }

    /// It says that it listens before it takes anybody.
    fn await_answers(&self) -> io::Result<()> {
        let answers = || self.try_psql("postgres", "SELECT 1").status.success().then_some(());
        wait_until(START, answers).ok_or_else(|| io::Error::other("it takes no connection"))
    }

    fn try_psql(&self, database: &str, statements: &str) -> std::process::Output {
        let script = self.folder.join("statements.sql");
        fs::write(&script, statements).expect("a file");
        let (host, port) = self.server.address().split_once(':').unwrap_or_default();
        let line = format!(
            "PGPASSWORD={PASSWORD} psql -h {host} -p {port} -U owner -d {database} -X -q -A -t -v ON_ERROR_STOP=1 \
             --csv -f '{}'",
            script.display()
        );
        try_shell(&self.folder, &line)
    }

    /// What `psql` prints for these statements, as CSV without a header. Panics where one fails.
    pub fn psql(&self, database: &str, statements: &str) -> String {
        let output = self.try_psql(database, statements);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{statements}: {error}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Where a configuration has it.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://{}/{database}", self.server.address())
    }

    /// Without waiting for those who are connected.
    pub fn stop(&self) {
        self.server.signal(rustix::process::Signal::INT);
        self.server.stop();
    }

    pub fn start_again(&self) -> io::Result<()> {
        self.server.start_again()?;
        self.await_answers()
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.stop();
    }
}
