//! A question that any of several hosts can answer.

use crate::step::Check;
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use std::time::Duration;
use tokio::time::sleep;

/// How long a host may take before the next one is asked beside it: one that answers takes less, one
/// that is lost takes the whole time of a connection.
const PATIENCE: Duration = Duration::from_secs(3);

/// The first answer of these hosts, which are asked one after another.
///
/// # Errors
/// What the last of them said instead of an answer.
pub(crate) async fn answer<T>(
    hosts: &[String],
    ask: impl Fn(String) -> BoxFuture<'static, Result<T, Check>>,
) -> Result<T, Check> {
    let mut hosts = hosts.iter();
    let mut asked = FuturesUnordered::new();
    let mut why = Check::Unknown("it has no members".to_owned());
    asked.extend(hosts.next().map(|host| ask(host.clone())));
    loop {
        tokio::select! {
            answer = asked.next() => match answer {
                Some(Ok(answer)) => return Ok(answer),
                Some(Err(check)) => why = check,
                None => return Err(why),
            },
            () = sleep(PATIENCE), if hosts.len() > 0 => {}
        }
        asked.extend(hosts.next().map(|host| ask(host.clone())));
    }
}
