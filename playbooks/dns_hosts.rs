//! Names in `/etc/hosts` of every host: a block between two marker lines; everything outside it
//! stays as it is, byte for byte.

use crate::cx::Cx;
use crate::destroy::Leftover;
use crate::dns_records::Names;
use crate::dns_resolves;
use crate::step::{Check, Failure, Step, Trouble};
use blueprints::{HostProvider, Lab};
use futures::future::join_all;
use providers::{Cmd, File, Stdin, put, quote};
use std::collections::HashSet;
use std::net::IpAddr;

const PATH: &str = "/etc/hosts";

fn begin(lab: &str) -> String {
    format!("# bp {lab}: begin")
}

fn end(lab: &str) -> String {
    format!("# bp {lab}: end")
}

/// The step that keeps the block of one host.
pub fn block(host: &str) -> Step {
    let applied = host.to_owned();
    Step::host(
        host,
        "hosts file",
        "no server answers for the lab's names: every host has them itself",
    )
    .check_shell_of(move |cx| async move {
        let names = cx.names().await.map_err(Check::Unknown)?;
        Ok(look(&lines(cx.lab(), &names)))
    })
    .apply(move |cx| {
        let host = applied.clone();
        async move {
            let names = cx.names().await.map_err(Failure::new)?;
            let lines = lines(cx.lab(), &names);
            write(&cx, &host, &lines).await
        }
    })
}

/// Compares all that stands in blocks of the lab with these lines.
fn look(lines: &[String]) -> String {
    let (begin, end) = (&lines[0], &lines[lines.len() - 1]);
    format!("w={}\nb='/^{begin}$/,/^{end}$/p'\n{LOOK}", quote(&lines.join("\n")))
}

/// Says what of `$w` is not there, and what is there instead.
pub(crate) const LOOK: &str = r#"has=$(sed -n "$b" /etc/hosts 2>/dev/null)
[ "$has" != "$w" ] || exit 0
[ -n "$has" ] || { echo '/etc/hosts has no names of the lab'; exit 1; }
not_in() { printf '%s\n' "$2" | grep -vxF -e "$1" | tr '\t' ' ' | paste -sd , - | sed 's/,/, /g'; }
more=$(not_in "$w" "$has"); less=$(not_in "$has" "$w")
case ${more:+more}${less:+less} in
'') echo "the lab's block in /etc/hosts is there twice or out of order";;
more) echo "/etc/hosts has \`$more\` in the lab's block";;
less) echo "/etc/hosts lacks \`$less\`";;
*) echo "/etc/hosts has \`$more\` instead of \`$less\`";;
esac
exit 1"#;

/// The block, markers included. Fields are parted by tabs, as cloud-init writes them when it keeps
/// the line of the host's own name.
fn lines(lab: &Lab, names: &Names) -> Vec<String> {
    let mut lines = vec![begin(&lab.name)];
    for host in &lab.hosts {
        if let Some(ip) = names.addresses.get(&host.name) {
            lines.push(format!("{ip}\t{}\t{}", lab.fqdn(host).to_lowercase(), host.name));
        }
    }
    let hosts: HashSet<String> = lab.hosts.iter().map(|h| lab.fqdn(h).to_lowercase()).collect();
    for (name, ips) in &names.addressed {
        if !hosts.contains(name) {
            lines.extend(ips.iter().map(|ip: &IpAddr| format!("{ip}\t{name}")));
        }
    }
    lines.push(end(&lab.name));
    lines
}

/// The file with the lab's block, where the first one was or at the end; without it where there are
/// no lines. A block whose end is missing is its begin alone: what follows may be anybody's.
fn with_block(file: &[u8], lab: &str, lines: &[String]) -> Vec<u8> {
    let (begin, end) = (begin(lab), end(lab));
    let all: Vec<&[u8]> = file.split_inclusive(|b| *b == b'\n').collect();
    let is = |line: &[u8], text: &str| line.strip_suffix(b"\n").unwrap_or(line) == text.as_bytes();
    let block = lines.iter().flat_map(|l| [l.as_bytes(), b"\n"]).flatten().copied();
    let block: Vec<u8> = block.collect();
    let (mut out, mut at, mut placed) = (Vec::new(), 0, lines.is_empty());
    while let Some(line) = all.get(at) {
        let rest = &all[at + 1..];
        if is(line, &begin) {
            let ends = rest.iter().position(|l| is(l, &end) || is(l, &begin));
            at += match ends {
                Some(length) if is(rest[length], &end) => length + 2,
                _ => 1,
            };
            if !placed {
                out.extend(&block);
                placed = true;
            }
        } else if is(line, &end) {
            at += 1;
        } else {
            out.extend(*line);
            at += 1;
        }
    }
    if !placed {
        if out.last().is_some_and(|b| *b != b'\n') {
            out.push(b'\n');
        }
        out.extend(&block);
    }
    out
}

/// Prints mode and owner of the file that is behind the path, whether it is mounted by itself, where
/// it is, and then the file.
pub(crate) const READ: &str = r#"p=$(readlink -f /etc/hosts) || exit 1
s='644 root:root' m=free
[ ! -e "$p" ] || s=$(stat -c '%a %U:%G' "$p") || exit 1
awk -v p="$p" '$5 == p { found = 1 } END { exit !found }' /proc/self/mountinfo && m=mounted
echo "$s $m $p"
[ ! -e "$p" ] || cat "$p""#;

/// Where the file really is, and whose.
#[derive(Debug, PartialEq, Eq)]
struct Place {
    mode: u32,
    owner: String,
    mounted: bool,
    path: String,
}

impl Place {
    /// The first line that [`READ`] prints. Not everybody may write what decides where names lead.
    fn read(line: &str) -> Option<Self> {
        let mut words = line.splitn(4, ' ');
        let mode = u32::from_str_radix(words.next()?, 8).ok()? & 0o775;
        let owner = words.next()?.to_owned();
        let mounted = words.next()? == "mounted";
        Some(Self { mode, owner, mounted, path: words.next()?.to_owned() })
    }
}

/// Puts the block in place, or takes it away.
async fn write(cx: &Cx, host: &str, lines: &[String]) -> Result<(), Trouble> {
    let read = cx.ok(host, Cmd::new(READ)).await?.stdout;
    let at = read.iter().position(|b| *b == b'\n').unwrap_or(read.len());
    let (first, file) = (&read[..at], read.get(at + 1..).unwrap_or_default());
    let first = String::from_utf8_lossy(first).into_owned();
    let place = Place::read(&first);
    let place = place.ok_or_else(|| Failure::new(format!("`{first}` is said of {PATH}")))?;
    let new = with_block(file, &cx.lab().name, lines);
    if new == file {
        return Ok(());
    }
    let Place { mode, owner, mounted, path } = place;
    if mounted {
        // It could be written in place alone, and a run that is cut off would leave half of it.
        let why = format!("{path} is mounted by itself, so nothing can be put in its place");
        let hint =
            "unmount it there, or let a server answer for the names (`dns: { server: ... }`)";
        return Err(Failure::new(why).hint(hint).into());
    }
    let file = File { path, content: Stdin::Bytes(new), mode, owner };
    cx.ok(host, put(&file)).await.map(drop)
}

/// What the phase left on hosts that stay: the block, and what tells the resolver of the server.
pub async fn leftovers(cx: &Cx) -> Vec<Leftover> {
    let lab = &cx.lab().name;
    let look = look_left(lab);
    let stay = cx.lab().hosts.iter().filter(|h| h.provider == HostProvider::Existing);
    let asked = stay.map(|host| {
        let cmd = Cmd::new(look.clone());
        async move { (host.name.clone(), cx.run(&host.name, &cmd).await) }
    });
    let mut left = Vec::new();
    for (host, answer) in join_all(asked).await {
        match answer {
            Ok(output) if output.ok() => {
                for what in output.out().lines() {
                    left.push(leftover(&host, what));
                }
            }
            Ok(_) => {}
            Err(error) => left.push(Leftover {
                what: format!("names on {host}"),
                remove: Box::new(move |_| {
                    let error = error.clone();
                    Box::pin(async move { Err(error.into()) })
                }),
            }),
        }
    }
    left
}

/// Prints what of the lab is on a host; exits with 0 where there is any.
pub(crate) fn look_left(lab: &str) -> String {
    format!(
        "r=1; if grep -qx {} {PATH}; then echo hosts; r=0; fi 2>/dev/null; \
         if [ -e {} ]; then echo resolver; r=0; fi; exit $r",
        quote(&begin(lab)),
        dns_resolves::dropin(lab),
    )
}

fn leftover(host: &str, what: &str) -> Leftover {
    let (name, is_block) = (host.to_owned(), what == "hosts");
    let what = match is_block {
        true => format!("the lab's block in {PATH} of {host}"),
        false => format!("the lab's server in the resolver of {host}"),
    };
    let remove = move |cx: Cx| -> futures::future::BoxFuture<'static, Result<(), Trouble>> {
        let host = name.clone();
        Box::pin(async move {
            match is_block {
                true => write(&cx, &host, &[]).await,
                false => dns_resolves::forget(&cx, &host).await,
            }
        })
    };
    Leftover { what, remove: Box::new(remove) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLOCK: &str = "# bp lab: begin\n10.20.30.11\tnode1.lab.test\tnode1\n# bp lab: end\n";

    fn put(file: &str) -> String {
        let lines: Vec<String> = BLOCK.lines().map(str::to_owned).collect();
        let new = with_block(file.as_bytes(), "lab", &lines);
        assert_eq!(with_block(&new, "lab", &lines), new, "twice is once");
        String::from_utf8(new).expect("text")
    }

    #[test]
    fn what_is_outside_the_block_stays() {
        let file = format!("127.0.0.1 localhost\n\n# mine\n{BLOCK}::1 ip6\n# bp lab2: begin\n");
        assert_eq!(put(&file), file);
        assert_eq!(put("127.0.0.1 localhost"), format!("127.0.0.1 localhost\n{BLOCK}"));
        assert_eq!(put(""), BLOCK);
        let odd = b"\xff\xfe\r\n# bp lab: begin\nold\n# bp lab: end\n\tx";
        assert_eq!(with_block(odd, "lab", &[]), b"\xff\xfe\r\n\tx");
    }

    #[test]
    fn blocks_that_are_twice_or_cut_off_become_one() {
        assert_eq!(put(&format!("a\n{BLOCK}b\n{BLOCK}c\n")), format!("a\n{BLOCK}b\nc\n"));
        assert_eq!(put("a\n# bp lab: begin\nb\n"), format!("a\n{BLOCK}b\n"));
        assert_eq!(put(&format!("# bp lab: begin\na\n{BLOCK}b\n")), format!("{BLOCK}a\nb\n"));
        assert_eq!(put("a\n# bp lab: end\nb\n"), format!("a\nb\n{BLOCK}"));
    }

    #[test]
    fn without_lines_the_block_is_gone() {
        let file = format!("a\n{BLOCK}b\n");
        assert_eq!(with_block(file.as_bytes(), "lab", &[]), b"a\nb\n");
        assert_eq!(with_block(b"a", "lab", &[]), b"a");
    }

    #[test]
    fn the_file_behind_a_link_is_the_one_that_is_written() {
        let dir = tempfile::tempdir().expect("a folder");
        let real = dir.path().canonicalize().expect("a path").join("real hosts");
        std::fs::write(&real, "127.0.0.1 localhost\n").expect("written");
        std::os::unix::fs::symlink("real hosts", dir.path().join("hosts")).expect("a link");
        let read = |script: String| {
            let ran = std::process::Command::new("sh").args(["-c", &script]).output();
            String::from_utf8(ran.expect("sh runs").stdout).expect("text")
        };
        let path = dir.path().join("hosts").display().to_string();
        let said = read(READ.replace(PATH, &path));
        let (first, file) = said.split_once('\n').expect("a line");
        let place = Place::read(first).expect("a place");
        assert_eq!(place.path, real.display().to_string());
        assert!(place.mode == 0o644 && !place.mounted, "{place:?}");
        assert_eq!(file, "127.0.0.1 localhost\n");
        // A mount as every system has it stands in for a file that is mounted.
        let said = read(READ.replace(PATH, "/proc").replace("cat", ":"));
        assert!(Place::read(said.trim()).is_some_and(|p| p.mounted), "{said}");
        assert_eq!(Place::read("777 root:root free /etc/hosts").map(|p| p.mode), Some(0o775));
        assert_eq!(Place::read("stat: no such thing"), None);
    }
}
