//! A real `pdns_server` with its zones in SQLite.

use super::{answers, free_port};
use providers::dns::PowerDns;
use std::fs;
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

const SCHEMA: &str = "/usr/share/pdns-backend-sqlite3/schema/schema.sqlite3.sql";

/// The key of its API.
pub const KEY: &str = "a-key-for-tests";

/// A running server; it ends with this.
pub struct Pdns {
    child: Child,
    dir: TempDir,
    /// Where it answers.
    pub port: u16,
    api: u16,
}

impl Pdns {
    /// One without zones.
    pub fn start() -> Self {
        let dir = TempDir::new().unwrap();
        let d = dir.path().display();
        let schema = fs::read_to_string(SCHEMA).expect("Debian's `pdns-backend-sqlite3`");
        let made = Command::new("sqlite3").arg(dir.path().join("db")).arg(schema).status();
        assert!(made.expect("Debian's `sqlite3`").success());
        // A port that was free may be taken in the meantime: then another one.
        for _ in 0..5 {
            let (port, api) = (free_port(), free_port());
            let config = format!(
                "launch=gsqlite3\ngsqlite3-database={d}/db\ngsqlite3-dnssec=yes\nsocket-dir={d}\n\
                 local-address=127.0.0.1\nlocal-port={port}\nwebserver=yes\napi=yes\n\
                 webserver-address=127.0.0.1\nwebserver-port={api}\napi-key={KEY}\n"
            );
            fs::write(dir.path().join("pdns.conf"), config).unwrap();
            let mut child = Command::new("/usr/sbin/pdns_server")
                .arg(format!("--config-dir={d}"))
                .args(["--daemon=no", "--guardian=no", "--disable-syslog=yes"])
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(fs::File::create(dir.path().join("log")).unwrap())
                .spawn()
                .expect("Debian's `pdns-server`");
            if answers(&mut child, &[port, api]) {
                return Self { child, dir, port, api };
            }
        }
        panic!("it does not start: {}", fs::read_to_string(dir.path().join("log")).unwrap());
    }

    /// Its API.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.api)
    }

    /// bp's view of it.
    pub fn server(&self) -> PowerDns {
        self.with(KEY)
    }

    /// The same with this key.
    pub fn with(&self, key: &str) -> PowerDns {
        let answers = format!("127.0.0.1:{}", self.port).parse().unwrap();
        PowerDns::new(&self.url(), key, Some(answers)).unwrap()
    }

    /// The file with its zones.
    pub fn db(&self) -> String {
        self.dir.path().join("db").display().to_string()
    }

    /// Runs SQL on its zones, behind its back.
    pub fn sql(&self, statement: &str) -> String {
        let out = Command::new("sqlite3").arg(self.dir.path().join("db")).arg(statement).output();
        let out = out.unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8(out.stdout).unwrap()
    }

    /// Runs `pdnsutil`, as its operator does.
    pub fn util(&self, args: &[&str]) {
        let dir = format!("--config-dir={}", self.dir.path().display());
        let out = Command::new("pdnsutil").arg(dir).args(args).output().unwrap();
        assert!(out.status.success(), "{args:?}: {}", String::from_utf8_lossy(&out.stderr));
    }

    /// Ends it.
    pub fn stop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Pdns {
    fn drop(&mut self) {
        self.stop();
    }
}
