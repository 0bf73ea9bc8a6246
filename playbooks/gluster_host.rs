//! What one host says of GlusterFS: its daemon, its names, its bricks, its mounts. One question a
//! round.

use crate::cx::Cx;
use crate::gluster_mount::LAB_OPTION as MOUNT_OPTION;
use crate::gluster_record as record;
use crate::gluster_volume::LAB_OPTION;
use crate::gluster_xml::{self as xml, Peer};
use crate::limits;
use crate::step::Check;
use blueprints::{Host, Lab};
use providers::{Cmd, quote};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// What one host says of itself.
#[derive(Clone, Debug, Default)]
pub(crate) struct HostView {
    /// Its daemon's identity; empty before it is known.
    pub uuid: String,
    /// The others, as its daemon knows them.
    pub peers: Option<Result<Vec<Peer>, String>>,
    /// Brick hosts' names, and the address each has here; empty: none.
    pub names: HashMap<String, String>,
    /// What lies where a brick is to be, by its path.
    pub bricks: HashMap<String, Place>,
    /// What lies where a volume is to be mounted, by the folder.
    pub mounts: BTreeMap<String, Mount>,
    /// Folders of which fstab says that they are the lab's.
    pub tagged: BTreeSet<String>,
    /// Volumes that carry the lab's mark, as its daemon's own files say.
    pub volumes: BTreeSet<String>,
    /// Whom bp took into the pool, as the host was told.
    pub probed: BTreeSet<String>,
    /// Files that bp put beside the daemon's.
    pub files: BTreeSet<String>,
}

/// What lies where a brick is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Nothing.
    Absent,
    /// An empty folder.
    Empty,
    /// Files that no volume made.
    Files,
    /// What a volume left whose mark is gone.
    Remains,
    /// A brick of this volume, in hex; the marked folder is the place or one above it.
    Brick { id: String, folder: String },
    /// `getfattr` is not there to say.
    Unknown,
}

/// What lies where a volume is to be mounted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mount {
    pub is: Mounted,
    /// The lines of fstab about the folder.
    pub fstab: Vec<String>,
    /// The text of the shared file; empty where there is none.
    pub shared: String,
}

/// What is mounted on a folder.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Mounted {
    /// Nothing, and there is no folder.
    #[default]
    Absent,
    /// Nothing, on an empty folder.
    Empty,
    /// Nothing, on a folder that holds files.
    Files,
    /// This source, and it answers.
    Answers(String),
    /// This source, and it does not answer.
    Silent(String),
    /// Something that is no GlusterFS volume: its type and source.
    Other(String),
}

/// Where a volume is mounted.
pub(crate) fn folder(volume: &blueprints::Volume) -> &str {
    volume.mount.trim_end_matches('/')
}

/// The file that is written on one host and read on the others, within a volume.
pub(crate) fn shared_file(lab: &str) -> String {
    format!(".bp/{lab}")
}

/// What is asked of every host. A machine that dies holds readers up for as long as
/// `network.ping-timeout` says: a mount that answers after that is a good one.
pub(crate) const FUNCTIONS: &str = r#"names() { for n in "$@"; do printf '@name %s %s\n' "$n" "$(getent ahosts "$n" | awk '{ print $1; exit }')"; done; }
brick() {
  command -v getfattr >/dev/null || { printf '@brick %s unknown\n' "$1"; return; }
  p=$1
  while [ -n "$p" ]; do
    i=
    [ ! -d "$p" ] || i=$(getfattr --absolute-names -e hex -n trusted.glusterfs.volume-id "$p" 2>/dev/null | sed -n 's/^trusted.glusterfs.volume-id=0x//p')
    [ -z "$i" ] || { printf '@brick %s brick %s %s\n' "$1" "$i" "$p"; return; }
    p=${p%/*}
  done
  if [ ! -e "$1" ]; then s=absent; elif [ -e "$1/.glusterfs" ]; then s=remains; elif [ -n "$(ls -A "$1")" ]; then s=files; else s=empty; fi
  printf '@brick %s %s\n' "$1" "$s"
}
volume() {
  t=$(awk -v m="$1" '$2 == m { t = $3 " " $1 } END { print t }' /proc/self/mounts)
  case $t in
  '') if [ ! -e "$1" ]; then s=absent; elif [ -n "$(ls -A "$1")" ]; then s=files; else s=empty; fi;;
  'fuse.glusterfs '*) if timeout -k 1 20 stat -t "$1" >/dev/null 2>&1; then s="answers ${t#* }"; else s="silent ${t#* }"; fi;;
  *) s="other $t";;
  esac
  printf '@mount %s %s\n' "$1" "$s"
  awk -v m="$1" '$1 !~ /^#/ && $2 == m { print "@fstab " m " " $0 }' /etc/fstab
  case $s in answers*) printf '@shared %s %s\n' "$1" "$(timeout -k 1 20 head -c 200 "$1/$2" 2>/dev/null | head -n 1)";; esac
}
lab() {
  awk -v o=",$2=$1," '$1 !~ /^#/ && index("," $4 ",", o) { print "@tagged " $2 }' /etc/fstab
  grep -lsxF "$3=$1" /var/lib/glusterd/vols/*/info | sed 's|/info$||; s|.*/|@volume |'
  # The daemon may serve another lab too.
  ls /var/lib/glusterd/bp-* 2>/dev/null | grep -qvxF "$5" || [ ! -e "$4" ] || printf '@file %s\n' "$4"
  [ ! -e "$5" ] || { printf '@file %s\n' "$5"; sed 's/^/@probed /' "$5"; }
}
"#;

/// What makes the daemon start again after a failure; `gluster.yml` puts it there.
const DROP_IN: &str = "/etc/systemd/system/glusterd.service.d/bp.conf";

/// How many seconds the daemon may take to name its peers.
const PEERS: u32 = 60;

/// What stands in a daemon's place before there is one.
pub(crate) const NOT_INSTALLED: &str = "gluster is not installed";

/// What a host is asked.
fn question(lab: &Lab, host: &Host) -> String {
    let mut script = FUNCTIONS.to_owned();
    let names: Vec<String> = lab.brick_hosts().map(|h| quote(&lab.fqdn(h))).collect();
    script.push_str(&format!("names {}\n", names.join(" ")));
    let bricks = lab.volumes.iter().flat_map(|v| &v.bricks).filter(|b| b.host == host.name);
    for brick in bricks {
        script.push_str(&format!("brick {}\n", quote(&brick.path)));
    }
    for volume in &lab.volumes {
        let file = quote(&shared_file(&lab.name));
        script.push_str(&format!("volume {} {file}\n", quote(folder(volume))));
    }
    script.push_str(&format!(
        "lab {} {MOUNT_OPTION} {LAB_OPTION} {DROP_IN} {}\n",
        lab.name,
        record::file(&lab.name)
    ));
    // Where the blueprint knows of no brick, bp may have made one a member of a pool before.
    if !lab.brick_hosts().any(|h| h.name == host.name) {
        script.push_str(&format!("[ -e {} ] || exit 0\n", record::file(&lab.name)));
    }
    script.push_str(
        "printf '@uuid %s\\n' \"$(sed -n 's/^UUID=//p' /var/lib/glusterd/glusterd.info 2>/dev/null)\"\n",
    );
    script.push_str(&format!(
        "echo @peers; command -v gluster >/dev/null || {{ echo '{NOT_INSTALLED}'; exit 0; }}\n\
         timeout -k 2 {PEERS} gluster --mode=script --xml peer status 2>&1\n"
    ));
    script + "exit 0\n"
}

impl HostView {
    /// Asks the host.
    ///
    /// # Errors
    /// What a check says that needs the answer.
    pub async fn ask(cx: &Cx, host: &str) -> Result<Self, Check> {
        let Some(known) = cx.lab().host(host) else {
            return Err(Check::Unknown(format!("{host} is no host of the lab")));
        };
        let cmd = Cmd::new(question(cx.lab(), known)).within(limits::GLUSTER_ASKED);
        match cx.run(host, &cmd).await {
            Ok(output) => Ok(Self::read(&output.out())),
            Err(error) => Err(cx.unanswered(host, error).await),
        }
    }

    /// Reads what a host printed, with or without the white space at its end.
    pub fn read(text: &str) -> Self {
        let mut view = Self::default();
        let (head, peers) = match text.split_once("@peers") {
            Some((head, peers)) => (head, Some(peers.trim_start())),
            None => (text, None),
        };
        view.peers = peers.map(|peers| match peers {
            "" => Err(format!("its daemon gives no answer within {PEERS} s")),
            peers => xml::peers(peers),
        });
        for line in head.lines() {
            let (what, rest) = line.split_once(' ').unwrap_or((line, ""));
            let (name, value) = rest.split_once(' ').unwrap_or((rest, ""));
            let (name, value) = (name.to_owned(), value.to_owned());
            match what {
                "@uuid" => view.uuid = name,
                "@name" => drop(view.names.insert(name, value)),
                "@brick" => drop(view.bricks.insert(name, Place::read(&value))),
                "@mount" => view.mounts.entry(name).or_default().is = Mounted::read(&value),
                "@fstab" => view.mounts.entry(name).or_default().fstab.push(value),
                "@tagged" => drop(view.tagged.insert(name)),
                "@volume" => drop(view.volumes.insert(name)),
                "@probed" => drop(view.probed.insert(name)),
                "@file" => drop(view.files.insert(name)),
                "@shared" => view.mounts.entry(name).or_default().shared = value,
                _ => {}
            }
        }
        view
    }

    /// The peers, where the daemon says so.
    ///
    /// # Errors
    /// What it says instead.
    pub fn peers(&self) -> Result<&[Peer], String> {
        match &self.peers {
            Some(Ok(peers)) => Ok(peers),
            Some(Err(why)) => Err(why.clone()),
            None => Err("it has no brick".to_owned()),
        }
    }
}

impl Place {
    fn read(text: &str) -> Self {
        let mut words = text.splitn(3, ' ');
        match (words.next(), words.next(), words.next()) {
            (Some("absent"), ..) => Self::Absent,
            (Some("empty"), ..) => Self::Empty,
            (Some("files"), ..) => Self::Files,
            (Some("remains"), ..) => Self::Remains,
            (Some("brick"), Some(id), Some(folder)) => {
                Self::Brick { id: id.to_owned(), folder: folder.to_owned() }
            }
            _ => Self::Unknown,
        }
    }
}

impl Mounted {
    fn read(text: &str) -> Self {
        let (what, rest) = text.split_once(' ').unwrap_or((text, ""));
        match what {
            "empty" => Self::Empty,
            "files" => Self::Files,
            "answers" => Self::Answers(rest.to_owned()),
            "silent" => Self::Silent(rest.to_owned()),
            "other" => Self::Other(rest.to_owned()),
            _ => Self::Absent,
        }
    }
}
