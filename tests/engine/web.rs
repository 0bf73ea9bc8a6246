//! A folder over HTTP on loopback, and a server that never answers.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};

/// Serves the files of a folder until the test program ends; its URL.
pub fn serve(dir: &Path) -> String {
    let (listener, url) = listen();
    let dir = dir.to_owned();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let dir = dir.clone();
            // Clients that go away are no concern of the others.
            std::thread::spawn(move || answer(stream, &dir));
        }
    });
    url
}

/// A listener on a free port of loopback, and its URL. What connects to it is kept waiting until
/// it is dropped.
pub fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port of loopback");
    let url = format!("http://{}", listener.local_addr().expect("its address"));
    (listener, url)
}

/// Answers all requests of a connection, one after another.
fn answer(stream: TcpStream, dir: &Path) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut stream = stream;
    loop {
        let mut request = String::new();
        if reader.read_line(&mut request)? == 0 {
            return Ok(());
        }
        let mut header = String::from("-");
        while !header.trim().is_empty() {
            header.clear();
            if reader.read_line(&mut header)? == 0 {
                return Ok(());
            }
        }
        let (status, body) = match file(dir, &request).map(std::fs::read) {
            Some(Ok(body)) => ("200 OK", body),
            _ => ("404 Not Found", Vec::new()),
        };
        write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n", body.len())?;
        stream.write_all(&body)?;
    }
}

/// The file that a request line names.
fn file(dir: &Path, request: &str) -> Option<PathBuf> {
    let path = request.strip_prefix("GET /")?.split(' ').next()?;
    // apt writes `~` as it is or as an escape.
    let path = path.replace("%7e", "~").replace("%7E", "~").replace("%2b", "+");
    (!path.contains("..")).then(|| dir.join(path))
}
