//! Clocks that agree: what all hosts say of the time, measured at once.

use crate::cx::Cx;
use crate::limits;
use crate::step::{Check, Step};
use blueprints::Lab;
use futures::future::join_all;
use providers::Cmd;
use tokio::time::Instant;

/// How often a host is asked whose answers take too long to tell its time.
const ATTEMPTS: usize = 3;

/// A gate on how far the hosts' clocks are apart.
pub(crate) fn agree(lab: &Lab) -> Step {
    let hosts: Vec<String> = lab.hosts.iter().map(|h| h.name.clone()).collect();
    let all = hosts.clone();
    Step::lab("clocks", "etcd, swarms and certificates need hosts that agree on the time")
        .within(limits::CLOCKS_AGREE)
        .check(move |cx| {
            let hosts = hosts.clone();
            async move {
                let began = Instant::now();
                let asked = hosts.iter().map(|host| {
                    let cx = cx.clone();
                    async move { ask(&cx, host, began).await }
                });
                let (mut clocks, mut silent) = (Vec::new(), None);
                for answer in join_all(asked).await {
                    match answer {
                        Ok(clock) => clocks.push(clock),
                        Err(why) => silent = silent.or(Some(why)),
                    }
                }
                match (too_far(&clocks), silent) {
                    (Some(why), _) => Check::Not(why),
                    (None, Some(why)) => Check::Unknown(why),
                    (None, None) => Check::True,
                }
            }
        })
        .diagnose(move |cx| {
            let hosts = all.clone();
            async move { unserved(&cx, &hosts).await }
        })
}

/// The hosts that no time server has told the time.
async fn unserved(cx: &Cx, hosts: &[String]) -> Option<String> {
    let cmd = Cmd::new("timedatectl show -p NTPSynchronized --value");
    let asked = hosts.iter().map(|host| async {
        let said = cx.run(host, &cmd).await.ok()?.out();
        (said == "no").then_some(host.as_str())
    });
    let hosts: Vec<&str> = join_all(asked).await.into_iter().flatten().collect();
    (!hosts.is_empty()).then(|| format!("no time server has answered {}", hosts.join(", ")))
}

/// How far a host's clock is ahead of the operator's, in seconds: not less and not more than that.
/// The operator's counts from the beginning of the measurement, which no difference depends on.
struct Clock {
    host: String,
    least: f64,
    most: f64,
}

impl Clock {
    /// Of a host that said `time`, in seconds since 1970, to a question that was sent and answered
    /// then. It said so at some moment between the two.
    fn new(host: &str, time: f64, sent: f64, answered: f64) -> Self {
        Self { host: host.to_owned(), least: time - answered, most: time - sent }
    }

    /// Half of the time that its answer took.
    fn uncertainty(&self) -> f64 {
        (self.most - self.least) / 2.0
    }

    /// What it is most likely ahead.
    fn ahead(&self) -> f64 {
        f64::midpoint(self.least, self.most)
    }
}

/// What a host says of the time; asked again where the answer took so long that it tells little.
async fn ask(cx: &Cx, host: &str, began: Instant) -> Result<Clock, String> {
    // A login is no part of what is measured.
    cx.session(host).await.map_err(|e| format!("{host}: {e}"))?;
    let mut best: Option<Clock> = None;
    for _ in 0..ATTEMPTS {
        let sent = began.elapsed().as_secs_f64();
        let output = cx.run(host, &Cmd::new("date +%s.%N")).await;
        let answered = began.elapsed().as_secs_f64();
        let said = output.map_err(|e| format!("{host}: {e}"))?.out();
        let time = said.parse().map_err(|_| format!("{host}: `date` says `{said}`"))?;
        let clock = Clock::new(host, time, sent, answered);
        if best.as_ref().is_none_or(|b| clock.uncertainty() < b.uncertainty()) {
            best = Some(clock);
        }
        if best.as_ref().is_some_and(|b| b.uncertainty() < limits::CLOCK_SKEW.as_secs_f64() / 4.0) {
            break;
        }
    }
    best.ok_or_else(|| format!("{host}: was not asked"))
}

/// The two hosts that are certainly too far apart, whatever the answers' way took.
fn too_far(clocks: &[Clock]) -> Option<String> {
    let fast = clocks.iter().max_by(|a, b| a.least.total_cmp(&b.least))?;
    let slow = clocks.iter().min_by(|a, b| a.most.total_cmp(&b.most))?;
    let limit = limits::CLOCK_SKEW.as_secs_f64();
    (fast.least - slow.most > limit).then(|| {
        format!(
            "{} is {:.1} s ahead of {} (measured to {:.1} s), at most {limit} s are good",
            fast.host,
            fast.ahead() - slow.ahead(),
            slow.host,
            fast.uncertainty() + slow.uncertainty(),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A host whose clock is ahead by so much, asked at once, its answer on the way for so long.
    fn clock(host: &str, ahead: f64, way: f64) -> Clock {
        Clock::new(host, 1_763_600_000.0 + ahead + way / 2.0, 0.0, way)
    }

    #[test]
    fn half_the_way_is_taken_off() {
        let clock = clock("node1", 3.0, 0.5);
        assert!((clock.ahead() - 1_763_600_003.0).abs() < 1e-6);
        assert!((clock.uncertainty() - 0.25).abs() < 1e-6);
    }

    #[test]
    fn clocks_that_agree_within_the_limit_are_good() {
        assert_eq!(too_far(&[]), None);
        assert_eq!(too_far(&[clock("node1", 0.0, 0.1)]), None);
        let near = [clock("node1", 0.0, 0.1), clock("node2", 0.9, 0.1), clock("node3", 0.4, 0.1)];
        assert_eq!(too_far(&near), None);
    }

    #[test]
    fn the_worst_two_are_named() {
        let clocks =
            [clock("node1", 0.2, 0.1), clock("node2", -2.5, 0.3), clock("node3", 1.5, 0.2)];
        insta::assert_snapshot!(too_far(&clocks).expect("too far"), @"node3 is 4.0 s ahead of node2 (measured to 0.2 s), at most 1 s are good");
    }

    #[test]
    fn what_slow_answers_leave_open_counts_in_favour() {
        // 3.5 s apart, but the answers took four seconds and one: 1.0 s is all that is certain.
        assert_eq!(too_far(&[clock("node1", 0.0, 4.0), clock("node2", 3.5, 1.0)]), None);
        assert!(too_far(&[clock("node1", 0.0, 4.0), clock("node2", 3.6, 1.0)]).is_some());
        // A slow answer hides nobody else.
        let clocks =
            [clock("node1", 0.0, 60.0), clock("node2", 0.0, 0.1), clock("node3", 2.0, 0.1)];
        assert!(
            too_far(&clocks).is_some_and(|why| why.starts_with("node3 is 2.0 s ahead of node2"))
        );
    }
}
