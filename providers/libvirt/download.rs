//! An image from the web: downloaded once, checked while it comes, put in place whole.

use super::Tell;
use crate::ProviderError;
use futures::StreamExt;
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tokio::io::AsyncWriteExt;

/// No byte for so long: the server or the way to it is dead.
const SILENCE: Duration = Duration::from_secs(60);
/// How often progress is told.
const TELL: Duration = Duration::from_secs(5);

/// The image in the cache; downloaded where it is not there yet.
pub async fn fetch(
    url: &str,
    sha256: &str,
    cache: &Path,
    tell: &Tell,
) -> Result<PathBuf, ProviderError> {
    let failed =
        |cause: String| ProviderError { doing: format!("download `{url}`"), cause, hint: None };
    let place = cache.join(format!("{sha256}.img"));
    if place.is_file() {
        return Ok(place);
    }
    tokio::fs::create_dir_all(cache).await.map_err(|e| failed(e.to_string()))?;
    // Another library may have installed the same provider already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder()
        .connect_timeout(SILENCE)
        .read_timeout(SILENCE)
        .build()
        .map_err(|e| failed(chain(&e)))?;
    let answer = client.get(url).send().await.map_err(|e| failed(chain(&e)))?;
    let answer = answer.error_for_status().map_err(|e| failed(chain(&e)))?;
    let size = answer.content_length();
    let part = tempfile::Builder::new()
        .prefix(".download-")
        .tempfile_in(cache)
        .map_err(|e| failed(e.to_string()))?;
    let file = part.reopen().map_err(|e| failed(e.to_string()))?;
    let mut file = tokio::fs::File::from_std(file);
    let (mut digest, mut done, mut told) = (Sha256::new(), 0u64, Instant::now());
    let mut body = answer.bytes_stream();
    while let Some(chunk) = body.next().await {
        let chunk = chunk.map_err(|e| failed(chain(&e)))?;
        digest.update(&chunk);
        file.write_all(&chunk).await.map_err(|e| failed(e.to_string()))?;
        done += chunk.len() as u64;
        if told.elapsed() >= TELL {
            told = Instant::now();
            let of = size.map_or(String::new(), |s| format!(" of {}", s >> 20));
            tell(format!("download: {}{of} MiB", done >> 20));
        }
    }
    file.sync_all().await.map_err(|e| failed(e.to_string()))?;
    let found: String = digest.finalize().iter().map(|b| format!("{b:02x}")).collect();
    if found != sha256 {
        return Err(ProviderError {
            hint: Some("is the image newer than the checksum in the blueprint?".to_owned()),
            ..failed(format!("its sha256 is {found}, not {sha256}"))
        });
    }
    part.persist(&place).map_err(|e| failed(e.error.to_string()))?;
    Ok(place)
}

/// An error with what is behind it: reqwest's own text leaves the cause out.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use tokio::io::AsyncReadExt;
    use tokio::net::TcpListener;

    /// Serves one answer, whatever is asked, on loopback.
    async fn serve(answer: &'static str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/image", listener.local_addr().expect("an address"));
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut asked = [0; 4096];
                let _ = stream.read(&mut asked).await;
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        url
    }

    /// Of the text `image`.
    const SHA256: &str = "6105d6cc76af400325e94d588ce511be5bfdbb73b437dc51eca43917d7a43e3d";

    async fn get(answer: &'static str, sha256: &str) -> (Result<Vec<u8>, String>, usize) {
        let cache = tempfile::tempdir().expect("a folder");
        let tell: Tell = Arc::new(|_| {});
        let got = fetch(&serve(answer).await, sha256, cache.path(), &tell).await;
        let left = std::fs::read_dir(cache.path()).map_or(0, Iterator::count);
        let got = got.map_err(|e| e.to_string());
        (got.map(|path| std::fs::read(path).expect("it is there")), left)
    }

    #[tokio::test]
    async fn an_image_is_kept_only_whole_and_right() {
        let answer = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nimage";
        assert_eq!(get(answer, SHA256).await, (Ok(b"image".to_vec()), 1));
        let (wrong, left) = get(answer, &"0".repeat(64)).await;
        assert!(wrong.is_err_and(|e| e.contains(SHA256)) && left == 0);
        let (cut, left) = get("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nimage", SHA256).await;
        assert!(cut.is_err() && left == 0);
        let (gone, left) = get("HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n", SHA256).await;
        assert!(gone.is_err_and(|e| e.contains("404")) && left == 0);
    }

    #[tokio::test]
    async fn an_image_that_is_there_is_not_asked_for() {
        let cache = tempfile::tempdir().expect("a folder");
        let place = cache.path().join(format!("{SHA256}.img"));
        std::fs::write(&place, "image").expect("it is written");
        let tell: Tell = Arc::new(|_| {});
        let got = fetch("http://127.0.0.1:1/", SHA256, cache.path(), &tell).await;
        assert_eq!(got.ok(), Some(place));
    }
}
