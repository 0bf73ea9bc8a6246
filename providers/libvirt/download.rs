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
