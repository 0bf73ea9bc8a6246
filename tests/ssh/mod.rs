//! SSH sessions against real `sshd` processes.

use crate::support::sshd::Sshd;
use providers::Cmd;
use providers::ssh::connect;

#[tokio::test]
async fn a_command_is_answered() {
    let sshd = Sshd::start();
    let session = connect(&sshd.target()).await.unwrap();
    let cmd = Cmd::new("echo out; echo err >&2; exit 3");
    let output = session.run(&cmd).await.unwrap();
    assert_eq!((output.code, output.out(), output.err()), (3, "out".into(), "err".into()));
    let (line, held) = session.hold(&Cmd::new("echo held; cat")).await.unwrap();
    assert_eq!(line, "held");
    assert!(held.alive());
    assert!(session.alive());
}
