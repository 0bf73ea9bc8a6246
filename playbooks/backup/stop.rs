//! What a run that was cut off leaves behind: a restore goes on in its container, files lie on the
//! hosts.

use super::{Kind, carry, parts};
use crate::cx::Cx;
use crate::docker::container;
use crate::step::tail;
use futures::future::join_all;
use providers::{Cmd, quote};
use std::time::Duration;

/// Ends a restore by the link that names its process, with all that it has begun, and waits until
/// it has cleaned up. Nothing outlives its container: then the link is gone, too.
const END: &str = "p=$(readlink \"$1\") && grep -qs restor \"/proc/$p/cmdline\" || exit 0
kill -TERM \"-$p\" || exit 0
n=60
while kill -0 \"$p\" 2>/dev/null; do n=$((n - 1)); [ $n -gt 0 ] || exit 1; sleep 1; done";

/// Ends what still runs of a restore on any node, and takes the files away; says what could not be
/// ended.
pub async fn stop(cx: &Cx) {
    let cx = &cx.fresh();
    join_all(cx.lab().nodes().map(|host| on(cx, &host.name))).await;
}

/// The same on one host.
pub(super) async fn on(cx: &Cx, host: &str) {
    match cx.run(host, &command(cx)).await {
        Ok(output) if output.ok() => {}
        Ok(output) => cx.note(format!("{host}: {}", tail(output.out() + &output.err(), 3))),
        Err(error) => {
            let what = "whether a restore still runs there is not known";
            cx.note(format!("{host}: {what}: {error}"));
        }
    }
}

fn command(cx: &Cx) -> Cmd {
    let mut script = format!("rm -rf {}; r=0\n", quote(&carry::folder(cx)));
    let mut services: Vec<(String, &str)> = Vec::new();
    for part in parts(cx.lab()) {
        let service = match part.kind {
            Kind::Pgsql => (format!("{}_databases", part.stack), "/tmp/restoring"),
            Kind::Gitlab => (format!("{}_gitlab", part.stack), "/run/bp-restores"),
            Kind::Etcd | Kind::GitlabSecrets => continue,
        };
        if !services.contains(&service) {
            services.push(service);
        }
    }
    for (service, link) in services {
        let c = container(&service);
        script.push_str(&format!(
            "{c}\n\
             [ -z \"$c\" ] || docker exec \"$c\" sh -c {} sh {link} || {{ echo 'a restore still runs in {service}'; r=1; }}\n",
            quote(END)
        ));
    }
    script.push_str("exit $r");
    Cmd::new(script).within(Duration::from_secs(150))
}
