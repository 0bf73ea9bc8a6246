//! A question that any of several hosts can answer.

use crate::step::Check;

/// The first answer of these hosts, which are asked one after another.
///
/// # Errors
/// What the last of them said instead of an answer.
pub(crate) async fn answer<T, F>(hosts: &[String], ask: impl Fn(String) -> F) -> Result<T, Check>
where
    F: Future<Output = Result<T, Check>>,
{
    let mut why = Check::Unknown("it has no members".to_owned());
    for host in hosts {
        match ask(host.clone()).await {
            Err(check) => why = check,
            answer => return answer,
        }
    }
    Err(why)
}
