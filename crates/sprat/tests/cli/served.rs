//! A server of a test's own, asked over its sockets.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Child;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::workspace::Workspace;

/// Only a server that does something else than the test expects makes a test wait so long.
const PATIENCE: Duration = Duration::from_secs(100);

/// A server over a workspace; it ends with the test.
pub struct Served {
    child: Child,
    /// Where clients ask.
    pub clients: SocketAddr,
    /// Where operators look.
    pub operators: SocketAddr,
}

impl Served {
    /// Starts one.
    pub fn start(workspace: &Workspace) -> Self {
        let any = "127.0.0.1:0";
        let mut child = workspace.start(&["serve", "--listen", any, "--management", any, "--json"]);
        let mut text = String::new();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let told: Value = loop {
            assert_ne!(lines.read_line(&mut text).unwrap(), 0, "it ended: {text}");
            if let Ok(told) = serde_json::from_str(&text) {
                break told;
            }
        };
        let address = |key: &str, end: &str| {
            let url = told[key].as_str().unwrap();
            url.trim_start_matches("http://").trim_end_matches(end).parse().unwrap()
        };
        Self { child, clients: address("base_url", "/v1"), operators: address("management_url", "") }
    }

    /// Sends one request, and gives all of the reply.
    pub fn send(address: SocketAddr, head: &str, body: &str) -> String {
        let mut socket = TcpStream::connect(address).unwrap();
        let length = body.len();
        let head = format!(
            "{head} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n"
        );
        socket.write_all(format!("{head}{body}").as_bytes()).unwrap();
        let mut reply = String::new();
        socket.read_to_string(&mut reply).unwrap();
        reply
    }

    /// The release that answers a user.
    pub fn release(&self, user: &str) -> String {
        let message = json!([{"role": "user", "content": "where is my parcel?"}]);
        let body = json!({"model": "tickets", "messages": message, "user": user}).to_string();
        let reply = Self::send(self.clients, "POST /v1/chat/completions", &body);
        assert!(reply.starts_with("HTTP/1.1 200"), "{reply}");
        let header = reply.lines().find_map(|line| line.strip_prefix("x-sprat-release: "));
        header.unwrap().to_owned()
    }

    /// Asks until this release answers: a server looks for changes each second.
    pub fn until(&self, user: &str, release: &str) {
        wait_for(release, || (self.release(user) == release).then_some(()));
    }

    /// The process.
    pub fn process(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Looks until there is something.
pub fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(began.elapsed() < PATIENCE, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}
