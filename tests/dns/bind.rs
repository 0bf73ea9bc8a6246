//! A real `named` with zones that a key may change.

use super::{answers, free_port};
use providers::dns::Rfc2136;
use std::fs;
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

/// The name of the key that may change zones.
pub const KEY: &str = "bp-key";

/// A running server; it ends with this.
pub struct Bind {
    child: Child,
    dir: TempDir,
    /// Where it answers.
    pub port: u16,
    secret: String,
}

impl Bind {
    /// One that is primary for these zones.
    pub fn start(zones: &[&str]) -> Self {
        Self::with_more(zones, "", "recursion no;")
    }

    /// The same with these records of somebody else in each zone, and these options.
    pub fn with_more(zones: &[&str], records: &str, more: &str) -> Self {
        let dir = TempDir::new().unwrap();
        let d = dir.path().display();
        let made = Command::new("/usr/sbin/tsig-keygen").args(["-a", "hmac-sha256", KEY]).output();
        let key = String::from_utf8(made.expect("Debian's `bind9`").stdout).unwrap();
        let secret = key.split('"').nth(3).expect("a key").to_owned();
        let reader = key.replace(KEY, "reader");
        let mut config = format!("{key}{reader}");
        for zone in zones {
            let text = format!(
                "$TTL 300\n@ SOA ns.{zone}. hostmaster.{zone}. 1 3600 600 86400 60\n@ NS ns.{zone}.\n\
                 ns A 127.0.0.1\nwww A 192.0.2.1\n{records}"
            );
            fs::write(dir.path().join(zone), text).unwrap();
            config += &format!(
                "zone \"{zone}\" {{ type primary; file \"{zone}\"; allow-update {{ key {KEY}; }}; }};\n"
            );
        }
        // A port that was free may be taken in the meantime: then another one.
        for _ in 0..5 {
            let port = free_port();
            let options = format!(
                "options {{ directory \"{d}\"; listen-on port {port} {{ 127.0.0.1; }};\n\
                 listen-on-v6 {{ none; }}; pid-file none; session-keyfile none; {more}\n\
                 dnssec-validation no; notify no; }};\ncontrols {{ }};\n"
            );
            fs::write(dir.path().join("named.conf"), options + &config).unwrap();
            let mut child = Command::new("/usr/sbin/named")
                .args(["-g", "-n", "1", "-c"])
                .arg(dir.path().join("named.conf"))
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(fs::File::create(dir.path().join("log")).unwrap())
                .spawn()
                .expect("Debian's `bind9`");
            if answers(&mut child, &[port]) {
                return Self { child, dir, port, secret };
            }
        }
        panic!("it does not start: {}", fs::read_to_string(dir.path().join("log")).unwrap());
    }

    /// bp's view of it.
    pub fn server(&self) -> Rfc2136 {
        self.with(KEY, &self.secret)
    }

    /// The same with this key.
    pub fn with(&self, key: &str, secret: &str) -> Rfc2136 {
        let at = format!("127.0.0.1:{}", self.port).parse().unwrap();
        Rfc2136::new(at, key, blueprints::TsigAlgorithm::HmacSha256, secret).unwrap()
    }

    /// The right secret.
    pub fn secret(&self) -> &str {
        &self.secret
    }

    /// Ends it.
    pub fn stop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// What it logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap()
    }
}

impl Drop for Bind {
    fn drop(&mut self) {
        self.stop();
    }
}
