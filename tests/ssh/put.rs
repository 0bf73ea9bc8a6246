//! Files put in place: whole, with mode and owner, or not at all.

use crate::support::sshd::{Sshd, signal, until};
use providers::ssh::connect;
use providers::{File, SessionError, Stdin, put};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

fn file(path: &Path, content: Stdin) -> File {
    let path = path.to_str().unwrap().to_owned();
    File { path, content, mode: 0o640, owner: "daemon:adm".into() }
}

#[tokio::test]
async fn a_file_has_its_content_mode_and_owner() {
    let sshd = Sshd::start();
    let session = connect(&sshd.target()).await.unwrap();
    let folder = sshd.at("it's a $(folder)");
    std::fs::create_dir(&folder).unwrap();
    let path = folder.join("file");
    let local = sshd.at("local");
    std::fs::write(&local, vec![b'x'; 3_000_000]).unwrap();
    for (content, len) in
        [(Stdin::Bytes(b"new\n".to_vec()), 4), (Stdin::File(local), 3_000_000), (Stdin::Empty, 0)]
    {
        let output = session.run(&put(&file(&path, content))).await.unwrap();
        assert!(output.ok(), "{output:?}");
        let meta = std::fs::metadata(&path).unwrap();
        assert_eq!((meta.len(), meta.mode() & 0o7777), (len, 0o640));
        assert_eq!((meta.uid(), meta.gid()), (1, 4));
        assert_eq!(names(&folder), ["file"], "nothing is left beside it");
    }
}

#[tokio::test]
async fn what_can_not_be_put_changes_nothing() {
    let sshd = Sshd::start();
    let session = connect(&sshd.target()).await.unwrap();
    let folder = sshd.at("folder");
    let path = folder.join("file");
    let bytes = || Stdin::Bytes(b"new".to_vec());
    let output = session.run(&put(&file(&path, bytes()))).await.unwrap();
    assert!(!output.ok() && output.err().contains("folder"), "{output:?}");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(&path, "old").unwrap();
    let nobody = File { owner: "no-such-user".into(), ..file(&path, bytes()) };
    assert!(!session.run(&put(&nobody)).await.unwrap().ok());
    let absent = file(&path, Stdin::File(sshd.at("absent")));
    let error = session.run(&put(&absent)).await.unwrap_err();
    assert!(matches!(error, SessionError::Input(_)), "{error:?}");
    until("it is cleaned up", || names(&folder) == ["file"]).await;
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "old");
}

#[tokio::test]
async fn a_transfer_that_is_cut_off_leaves_the_old_file_whole() {
    for cut in ["the connection is lost", "nobody waits for it any more"] {
        let sshd = Sshd::start();
        let session = connect(&sshd.target()).await.unwrap();
        let folder = sshd.at("folder");
        std::fs::create_dir(&folder).unwrap();
        let path = folder.join("file");
        std::fs::write(&path, "old").unwrap();
        let cmd = put(&file(&path, Stdin::Bytes(vec![b'x'; 300 << 20])));
        let transfer = tokio::spawn(async move { session.run(&cmd).await });
        let part = || {
            std::fs::read_dir(&folder)
                .unwrap()
                .flatten()
                .any(|f| f.file_name() != "file" && f.metadata().is_ok_and(|m| m.len() > 1 << 20))
        };
        until("some of it has arrived", part).await;
        if cut == "the connection is lost" {
            for pid in sshd.sessions() {
                let comm = std::fs::read_to_string(format!("/proc/{pid}/comm"));
                if comm.is_ok_and(|c| c.trim() == "sshd") {
                    signal("KILL", pid);
                }
            }
            let error = transfer.await.unwrap().unwrap_err();
            assert!(matches!(error, SessionError::NoExitStatus), "{error:?}");
        } else {
            transfer.abort();
            assert!(transfer.await.unwrap_err().is_cancelled());
        }
        until("it is cleaned up", || names(&folder) == ["file"]).await;
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "old", "{cut}");
    }
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap().flatten();
    entries.map(|e| e.file_name().into_string().unwrap()).collect()
}
