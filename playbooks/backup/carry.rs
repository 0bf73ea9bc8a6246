//! Carries large files between a host and this machine: they lie on the host meanwhile, in a folder
//! of their own, and travel in pieces, each an answer of bounded size.

use super::stop;
use crate::cx::Cx;
use crate::step::{Failure, Trouble};
use providers::{Cmd, File, Stdin, put, quote};
use sha2::{Digest, Sha256};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

/// Writing or reading a whole dump.
pub(super) const LONG: Duration = Duration::from_secs(4 * 3600);

/// What one answer carries, in MiB; a session keeps at most 64 of an answer.
const PIECE: u64 = 16;

/// Sending one piece over a slow line.
const PIECE_WITHIN: Duration = Duration::from_secs(600);

/// The folder on the host. The lab's lock keeps a second run away from it.
pub(crate) fn folder(cx: &Cx) -> String {
    format!("/var/tmp/bp-backup-{}", cx.lab().name)
}

/// The script that begins with an empty folder.
fn fresh(folder: &str) -> String {
    format!("set -eu; umask 077; rm -rf {0}; mkdir -m 0700 {0}\n", quote(folder))
}

/// Runs a script on a host and keeps what it prints in a new file here.
pub(super) async fn fetch(cx: &Cx, host: &str, script: &str, to: &Path) -> Result<(), Failure> {
    let folder = folder(cx);
    let fetched = pieces(cx, host, script, &folder, to).await;
    // Where that fails, the next run begins with an empty folder.
    let _ = cx.run(host, &Cmd::new(format!("rm -rf {}", quote(&folder)))).await;
    fetched.map_err(Failure::from)
}

async fn pieces(cx: &Cx, host: &str, script: &str, folder: &str, to: &Path) -> Result<(), Trouble> {
    let file = format!("{folder}/file");
    let make = format!(
        "{}( {script}\n) >{file}\nwc -c <{file}; sha256sum <{file} | cut -d ' ' -f 1",
        fresh(folder)
    );
    let said = cx.ok(host, Cmd::new(make).within(LONG)).await?.out();
    let mut said = said.split_whitespace();
    let (Some(bytes), Some(digest)) =
        (said.next().and_then(|n| n.parse::<u64>().ok()), said.next())
    else {
        return Err(Failure::new(format!("{host} does not say how long the file is")).into());
    };
    let failed = |e: std::io::Error| Failure::new(format!("write `{}`: {e}", to.display()));
    let mut options = std::fs::OpenOptions::new();
    let mut out = options.write(true).create_new(true).mode(0o600).open(to).map_err(failed)?;
    let (mut hash, mut got) = (Sha256::new(), 0);
    while got < bytes {
        let skip = got >> 20;
        let piece = format!("dd if={file} bs=1048576 skip={skip} count={PIECE} status=none");
        let piece = cx.ok(host, Cmd::new(piece).within(PIECE_WITHIN)).await?.stdout;
        let wanted = (bytes - got).min(PIECE << 20);
        if piece.len() as u64 != wanted {
            let what = format!("{host} sent {} bytes of {wanted}", piece.len());
            return Err(Failure::new(what).into());
        }
        out.write_all(&piece).map_err(failed)?;
        hash.update(&piece);
        got += wanted;
    }
    out.sync_all().map_err(failed)?;
    let came: String = hash.finalize().iter().map(|b| format!("{b:02x}")).collect();
    if came != digest {
        return Err(Failure::new(format!("what came from {host} is not what it has")).into());
    }
    Ok(())
}

/// Sends a file to a host and runs a script there that reads it.
pub(super) async fn bring(
    cx: &Cx,
    host: &str,
    from: &Path,
    script: &str,
) -> Result<String, Failure> {
    let folder = folder(cx);
    let brought = async {
        cx.ok(host, Cmd::new(fresh(&folder))).await?;
        let path = format!("{folder}/file");
        let content = Stdin::File(from.to_owned());
        let owner = "root:root".to_owned();
        let file = File { path: path.clone(), content, mode: 0o600, owner };
        cx.ok(host, put(&file).within(LONG)).await?;
        let (_, digest) = super::digest(from)?;
        let arrived = format!(
            "echo '{digest}  {path}' | sha256sum -c --status || {{ echo 'the file did not arrive whole' >&2; exit 1; }}"
        );
        cx.ok(host, Cmd::new(arrived).within(LONG)).await?;
        let run = format!("( {script}\n) <{path}");
        Ok::<_, Trouble>(cx.ok(host, Cmd::new(run).within(LONG)).await?.out())
    };
    let brought = brought.await;
    match &brought {
        Ok(_) => drop(cx.run(host, &Cmd::new(format!("rm -rf {}", quote(&folder)))).await),
        // Where nobody waits for it any more, it does not go on by itself.
        Err(_) => stop::on(&cx.fresh(), host).await,
    }
    brought.map_err(Failure::from)
}
